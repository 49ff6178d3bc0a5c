using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>Some queries of every row of a batch, and the keys that at least one of them sees.</summary>
/// <param name="First">The first query's column.</param>
/// <param name="Count">Queries.</param>
/// <param name="Ranges">Columns of the keys, ascending and apart: from, to (excluded).</param>
/// <param name="Mask">[B, 1, queries, keys] (0 or -∞).</param>
internal sealed record AttentionTile(int First, int Count, IReadOnlyList<(int From, int To)> Ranges, Tensor Mask)
{
    /// <summary>The tile's keys, or their values, out of all.</summary>
    /// <param name="all">[N, S, dim].</param>
    /// <returns>[N, keys, dim].</returns>
    public Tensor Gather(Tensor all) => Ranges.Count == 1 ? Part(all, Ranges[0]) : cat([.. Ranges.Select(range => Part(all, range))], 1);

    /// <summary>Adds what <see cref="Gather"/> would have gathered.</summary>
    /// <param name="all">[N, S, dim], changed.</param>
    /// <param name="part">[N, keys, dim].</param>
    public void Scatter(Tensor all, Tensor part)
    {
        long at = 0;
        foreach ((int from, int to) in Ranges)
        {
            Part(all, (from, to)).add_(part.narrow(1, at, to - from));
            at += to - from;
        }
    }

    private static Tensor Part(Tensor all, (int From, int To) range) => all.narrow(1, range.From, range.To - range.From);
}
