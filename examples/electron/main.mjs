// The main process: a window, a utility process that has the guard, and the messages between them.
import { fileURLToPath } from "node:url";
import { app, BrowserWindow, ipcMain, utilityProcess } from "electron";

const pathOf = (file) => fileURLToPath(new URL(file, import.meta.url));

/** Who asked, by the number of the job: windows number their requests on their own. */
const jobs = new Map();
let lastJob = 0;

function startGuard() {
	const guard = utilityProcess.fork(pathOf("guard-process.mjs"), [], { serviceName: "inferenceguard" });
	guard.on("message", ({ job, ...message }) => {
		const { sender, id } = jobs.get(job) ?? {};
		if (message.type !== "piece") jobs.delete(job);
		if (sender && !sender.isDestroyed()) sender.send("guard", { ...message, id });
	});
	guard.once("exit", () => {
		for (const { sender, id } of jobs.values()) {
			if (!sender.isDestroyed()) sender.send("guard", { type: "error", id, code: "EXITED", message: "the guard's process ended" });
		}
		jobs.clear();
	});
	return guard;
}

function openWindow() {
	const window = new BrowserWindow({ webPreferences: { preload: pathOf("preload.cjs"), contextIsolation: true, sandbox: true } });
	return window.loadFile(pathOf("index.html"));
}

app.whenReady().then(() => {
	const guard = startGuard();
	ipcMain.on("generate", ({ sender }, { id, prompt }) => {
		const job = ++lastJob;
		jobs.set(job, { sender, id });
		guard.postMessage({ type: "generate", job, prompt });
	});
	ipcMain.on("abort", ({ sender }, { id }) => {
		const [job] = [...jobs].find(([, asked]) => asked.sender === sender && asked.id === id) ?? [];
		if (job !== undefined) guard.postMessage({ type: "abort", job });
	});
	app.once("will-quit", () => guard.kill());
	return openWindow();
});

app.on("window-all-closed", () => app.quit());
