// What examples/electron needs of Electron, under plain Node. The one window runs the preload script; its page asks for a response, ends
// another early, asks for none with a prompt that is none, and prints what came.
const { fork } = require("node:child_process");
const { EventEmitter } = require("node:events");
const { join } = require("node:path");

class Utility extends EventEmitter {
	constructor(file) {
		super();
		this.child = fork(join(__dirname, "utility.mjs"), [file], { serialization: "advanced" });
		for (const event of ["message", "exit"]) this.child.on(event, (value) => this.emit(event, value));
	}

	postMessage(message) {
		this.child.send(message);
	}

	kill() {
		return this.child.kill();
	}
}

const ipcMain = new EventEmitter();
const ipcRenderer = new EventEmitter();
const sender = { isDestroyed: () => false, send: (channel, message) => ipcRenderer.emit(channel, {}, structuredClone(message)) };
ipcRenderer.send = (channel, message) => ipcMain.emit(channel, { sender }, structuredClone(message));

const page = {};

async function usePage() {
	const pieces = [];
	const reply = await page.guard.generate("The girl opened the door.", (text) => pieces.push(text)).reply;
	const stopped = page.guard.generate("The girl opened the door.", () => {});
	stopped.abort();
	const aborted = await stopped.reply.catch(({ message }) => message);
	const invalid = await page.guard.generate({ not: "a prompt" }, () => {}).reply.catch(({ message }) => message);
	console.log(JSON.stringify({ text: pieces.join(""), pieces: pieces.length, reply, aborted, invalid }));
}

class BrowserWindow {
	constructor({ webPreferences }) {
		this.preload = webPreferences.preload;
	}

	async loadFile() {
		require(this.preload);
		await usePage();
		app.emit("window-all-closed");
	}
}

const app = Object.assign(new EventEmitter(), { whenReady: async () => {}, quit: () => app.emit("will-quit") });

const contextBridge = { exposeInMainWorld: (name, api) => Object.assign(page, { [name]: api }) };
const utilityProcess = { fork: (file) => new Utility(file) };

module.exports = { app, BrowserWindow, contextBridge, ipcMain, ipcRenderer, utilityProcess };
