using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// Reads rows of a large table so that only these get gradients: the distinct rows are taken out as a small leaf of the graph, and the step's gradient is that of the leaf.
/// </summary>
internal sealed class SparseRows : IDisposable
{
    private readonly List<(long[] Rows, Tensor Leaf)> _reads = [];

    /// <summary>Reads rows for a forward pass with gradients.</summary>
    /// <param name="table">[rows, width].</param>
    /// <param name="ids">[T] int64.</param>
    /// <returns>[T, width] float32.</returns>
    public Tensor Read(Tensor table, Tensor ids)
    {
        long[] wanted = MemoryMarshal.Cast<byte, long>(ids.cpu().contiguous().bytes).ToArray();
        long[] distinct = [.. wanted.Distinct().Order()];
        Dictionary<long, long> place = new(distinct.Length);
        for (int i = 0; i < distinct.Length; i++)
        {
            place.Add(distinct[i], i);
        }

        Device device = table.device;
        var leaf = table.detach().index_select(0, tensor(distinct, device: device)).requires_grad_().DetachFromDisposeScope();
        _reads.Add((distinct, leaf));
        return leaf.index_select(0, tensor([.. wanted.Select(id => place[id])], device: device));
    }

    /// <summary>The sum of the gradients of all reads since the last call.</summary>
    /// <param name="width">The table's width.</param>
    /// <returns>The rows in ascending order, and their gradients [rows, width].</returns>
    public (long[] Rows, float[] Gradient) Take(int width)
    {
        long[] rows = [.. _reads.SelectMany(read => read.Rows).Distinct().Order()];
        float[] gradient = new float[rows.Length * width];
        foreach (var (read, leaf) in _reads)
        {
            using Tensor? slope = leaf.grad;
            if (slope is null)
            {
                continue;
            }

            using Tensor here = slope.cpu().contiguous();
            var values = MemoryMarshal.Cast<byte, float>(here.bytes);
            for (int i = 0; i < read.Length; i++)
            {
                var target = gradient.AsSpan(Array.BinarySearch(rows, read[i]) * width, width);
                var source = values.Slice(i * width, width);
                for (int k = 0; k < width; k++)
                {
                    target[k] += source[k];
                }
            }
        }

        Clear();
        return (rows, gradient);
    }

    /// <summary>Forgets all reads.</summary>
    public void Clear()
    {
        foreach (var (_, leaf) in _reads)
        {
            leaf.Dispose();
        }

        _reads.Clear();
    }

    public void Dispose() => Clear();
}
