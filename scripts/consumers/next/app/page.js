export default function Page() {
	return <p>A story: /api/story</p>;
}
