// Prints the files that a server needs beside program.mjs, as Next.js and others find them.
import { nodeFileTrace } from "@vercel/nft";

const { fileList } = await nodeFileTrace(["program.mjs"]);
for (const path of fileList) console.log(path);
