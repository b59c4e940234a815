/** The pieces of the blob that is next in what `GitSource.read` gives; it has so many bytes. */
export async function* contentOf(contents: AsyncGenerator<Buffer, void>, size: number): AsyncGenerator<Buffer, void> {
  for (let left = size; left > 0;) {
    const { value, done } = await contents.next();
    if (done) throw new Error("Git gave less than the file has");
    left -= value.length;
    yield value;
  }
}
