// What the page may do: `guard.generate(prompt, onPiece)` gives the promise of a reply, and a function that ends it early.
const { contextBridge, ipcRenderer } = require("electron");

const waiting = new Map();
let lastId = 0;

ipcRenderer.on("guard", (_event, { type, id, text, code, message, ...reply }) => {
	const { onPiece, resolve, reject } = waiting.get(id) ?? {};
	if (type === "piece") return onPiece?.(text);
	waiting.delete(id);
	if (type === "reply") resolve?.(reply);
	else reject?.(new Error(`${code}: ${message}`));
});

contextBridge.exposeInMainWorld("guard", {
	generate(prompt, onPiece) {
		const id = ++lastId;
		const reply = new Promise((resolve, reject) => waiting.set(id, { onPiece, resolve, reject }));
		ipcRenderer.send("generate", { id, prompt });
		return { reply, abort: () => ipcRenderer.send("abort", { id }) };
	},
});
