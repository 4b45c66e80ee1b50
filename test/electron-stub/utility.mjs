// A utility process: its parent is process.parentPort, and messages come as events with data.
import { EventEmitter } from "node:events";
import { pathToFileURL } from "node:url";

process.parentPort = Object.assign(new EventEmitter(), { postMessage: (message) => process.send(message) });
await import(pathToFileURL(process.argv[2]).href);
process.on("message", (data) => process.parentPort.emit("message", { data })); // what was sent before waits in the channel
