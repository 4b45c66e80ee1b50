import { embeddedDefault, InferenceGuard } from "inferenceguard";

export const dynamic = "force-dynamic";
const loading = InferenceGuard.load({ ...embeddedDefault, isolate: true });

export async function GET() {
	const guard = await loading;
	const { outcome, text } = await guard.generate({ prompt: "The girl opened the door.", maxTokens: 16, blockLength: 8, seed: 1 });
	return Response.json({ outcome, text });
}
