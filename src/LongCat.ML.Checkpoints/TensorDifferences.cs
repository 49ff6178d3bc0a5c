namespace LongCat.ML.Checkpoints;

/// <summary>How a checkpoint's tensors differ from what its config calls for.</summary>
internal sealed class TensorDifferences
{
    /// <summary>Tensors that are not there, with the expected shape.</summary>
    public List<(string Name, string Shape)> Missing { get; } = [];

    /// <summary>Tensors that nothing calls for.</summary>
    public List<string> Extra { get; } = [];

    /// <summary>Tensors of the wrong shape or type, or with bad block scales; what is wrong.</summary>
    public List<(string Name, string Problem)> Misfitting { get; } = [];

    public bool IsEmpty => Missing.Count + Extra.Count + Misfitting.Count == 0;

    /// <summary>The name to put into <see cref="CheckpointException.Tensor"/>.</summary>
    public string? FirstTensor => Misfitting.Count > 0 ? Misfitting[0].Name : Missing.Count > 0 ? Missing[0].Name : Extra.FirstOrDefault();

    /// <summary>One line per difference, at most <paramref name="most"/> of each kind.</summary>
    public IEnumerable<string> Lines(int most)
    {
        IEnumerable<string> missing = Missing.Select(m => $"tensor {m.Name} {m.Shape} is missing from the checkpoint");
        IEnumerable<string> misfitting = Misfitting.Select(m => $"tensor {m.Name} {m.Problem}");
        IEnumerable<string> extra = Extra.Select(name => $"tensor {CheckpointException.Printable(name)} is in the checkpoint, the config calls for none{Hint(name)}");
        return Bounded(missing, Missing.Count, most, "missing")
            .Concat(Bounded(misfitting, Misfitting.Count, most, "of wrong shape or type"))
            .Concat(Bounded(extra, Extra.Count, most, "extra"));
    }

    private static IEnumerable<string> Bounded(IEnumerable<string> lines, int count, int most, string what) =>
        count <= most ? lines : lines.Take(most).Append($"… and {count - most} more {what}");

    private static string Hint(string name) => name.Contains(".indexer.", StringComparison.Ordinal)
        ? " (an indexer of LongCat Sparse Attention, which is not supported yet)"
        : "";
}
