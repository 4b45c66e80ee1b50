// Draws the one tree that the page's data hold.
import { byId } from "./elements.js";
import { traceTree } from "./trace-tree.js";

byId("tree").append(traceTree(JSON.parse(byId("data").textContent ?? "")));
