// Which answer comes next: those without a label in their order, then those that were skipped.

export class Queue {
	/** @type {number[]} */
	#open;
	/** @type {Set<number>} */
	#labelled;
	/** What was labelled or skipped, the last one at the end. @type {number[]} */
	#past;

	/** @param {number} answers @param {number[]} labelled in the order in which they were */
	constructor(answers, labelled) {
		this.#labelled = new Set(labelled);
		this.#past = [...labelled];
		this.#open = Array.from({ length: answers }, (_, i) => i).filter((i) => !this.#labelled.has(i));
	}

	/** The answer to label; undefined where all have a label. */
	get current() {
		return this.#open[0];
	}

	get left() {
		return this.#open.length;
	}

	/** The last answer, and whether it has a label that going back takes away; undefined at the beginning. */
	get last() {
		const answer = this.#past.at(-1);
		return answer === undefined ? undefined : { answer, isLabelled: this.#labelled.has(answer) };
	}

	/** The current answer has a label now. */
	label() {
		const answer = this.#open.shift();
		if (answer === undefined) return;
		this.#labelled.add(answer);
		this.#past.push(answer);
	}

	/** The current answer comes again after all others. */
	skip() {
		const answer = this.#open.shift();
		if (answer === undefined) return;
		this.#open.push(answer);
		this.#past.push(answer);
	}

	/** The last answer is the current one again, without a label. */
	undo() {
		const answer = this.#past.pop();
		if (answer === undefined) return;
		this.#labelled.delete(answer);
		this.#open = [answer, ...this.#open.filter((other) => other !== answer)];
	}
}
