const form = document.querySelector("form");
const text = document.querySelector("#text");
const outcome = document.querySelector("#outcome");
let abort = () => {};

form.stop.addEventListener("click", () => abort());

form.addEventListener("submit", async (event) => {
	event.preventDefault();
	abort();
	text.textContent = form.prompt.value;
	outcome.textContent = "…";
	const job = window.guard.generate(form.prompt.value, (piece) => text.append(piece));
	abort = job.abort;
	try {
		const { outcome: name, cost, budget } = await job.reply;
		outcome.textContent = `${name}: cost ${cost} of ${budget}`;
	} catch ({ message }) {
		outcome.textContent = message;
	}
});
