// The order of answers: those without a label first, then those that were skipped.

export class Queue {
	/** @type {number[]} */
	#open;
	/** @type {Set<number>} */
	#labelled;
	/** Answers that were labelled or skipped, the last one at the end. @type {number[]} */
	#past;

	/** @param {number} answers @param {number[]} labelled in the order in which they were */
	constructor(answers, labelled) {
		this.#labelled = new Set(labelled);
		this.#past = [...labelled];
		this.#open = Array.from({ length: answers }, (_, i) => i).filter((i) => !this.#labelled.has(i));
	}

	/** The answer to label; undefined if all have a label. */
	get current() {
		return this.#open[0];
	}

	get left() {
		return this.#open.length;
	}

	/** The last answer, and whether going back removes a label; undefined at the beginning. */
	get last() {
		const answer = this.#past.at(-1);
		return answer === undefined ? undefined : { answer, isLabelled: this.#labelled.has(answer) };
	}

	/** Marks the current answer as labelled. */
	label() {
		const answer = this.#open.shift();
		if (answer === undefined) return;
		this.#labelled.add(answer);
		this.#past.push(answer);
	}

	/** Moves the current answer after all others. */
	skip() {
		const answer = this.#open.shift();
		if (answer === undefined) return;
		this.#open.push(answer);
		this.#past.push(answer);
	}

	/** Makes the last answer the current one again, without a label. */
	undo() {
		const answer = this.#past.pop();
		if (answer === undefined) return;
		this.#labelled.delete(answer);
		this.#open = [answer, ...this.#open.filter((other) => other !== answer)];
	}
}
