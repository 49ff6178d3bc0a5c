namespace LongCat.ML.Quantization;

/// <summary>Rows of a matrix on many threads.</summary>
internal static class Rows
{
    // A thread's scratch is set up once for this many rows.
    private const int Block = 16;

    /// <summary>Runs a row's work for all rows; the rows must not depend on each other.</summary>
    public static void For<T>(int count, int threads, Func<T> local, Action<int, T> row, CancellationToken cancellationToken) =>
        Parallel.For(0, (count + Block - 1) / Block, new ParallelOptions { CancellationToken = cancellationToken, MaxDegreeOfParallelism = threads }, local,
            (block, _, scratch) =>
            {
                for (int n = block * Block; n < Math.Min(count, (block + 1) * Block); n++)
                {
                    row(n, scratch);
                }

                return scratch;
            },
            _ => { });
}
