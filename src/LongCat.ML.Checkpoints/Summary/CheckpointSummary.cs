namespace LongCat.ML.Checkpoints;

/// <summary>
/// What a checkpoint consists of, from its config and its headers alone: no tensor data is read, so it takes the same moment for a model
/// of any size. A checkpoint that does not fit its config can be summarised too; the misfits are part of the summary.
/// </summary>
public sealed partial record CheckpointSummary
{
    /// <summary>The checkpoint's folder, as it was opened.</summary>
    public required string Folder { get; init; }

    /// <summary>The config, as <see cref="Checkpoint.Config"/> gives it.</summary>
    public required ModelConfig Config { get; init; }

    /// <summary>How many safetensors files there are.</summary>
    public required int FileCount { get; init; }

    /// <summary>How many tensors there are, block scales not counted.</summary>
    public required int TensorCount { get; init; }

    /// <summary>Elements of all tensors, block scales not counted.</summary>
    public required long Parameters { get; init; }

    /// <summary>Bytes of all tensors, block scales included.</summary>
    public required long Bytes { get; init; }

    /// <summary>The groups that have tensors, in the order of <see cref="TensorGroup"/>; tensors nothing calls for come last.</summary>
    public required IReadOnlyList<TensorGroupSummary> Groups { get; init; }

    /// <summary>The element types that occur, by falling bytes.</summary>
    public required IReadOnlyList<TensorTypeSummary> Types { get; init; }

    /// <summary>Names of tensors that the config calls for and the checkpoint lacks.</summary>
    public required IReadOnlyList<string> Missing { get; init; }

    /// <summary>Names of tensors that the config does not call for, other than those that are known to be of no use.</summary>
    public required IReadOnlyList<string> Extra { get; init; }

    /// <summary>Tensors of the wrong shape or type: one sentence each, beginning with the name.</summary>
    public required IReadOnlyList<string> Misfitting { get; init; }

    /// <summary>Whether every tensor that the config calls for is there and fits, and no other.</summary>
    public bool FitsConfig => Missing.Count + Extra.Count + Misfitting.Count == 0;

    /// <summary>Summarises an open checkpoint.</summary>
    /// <param name="checkpoint">The checkpoint; it is not kept.</param>
    /// <returns>The summary.</returns>
    public static CheckpointSummary Of(Checkpoint checkpoint)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        IReadOnlyList<ExpectedTensor> expected = checkpoint.Config.ExpectedTensors(withMtp: checkpoint.Config.MtpLayers > 0);
        Dictionary<string, TensorGroup> groupOf = expected.ToDictionary(t => t.Name, t => t.Group, StringComparer.Ordinal);
        Dictionary<TensorGroup, TensorGroupSummary> groups = [];
        TensorGroupSummary others = new(null, 0, 0, 0);
        Dictionary<TensorType, TensorTypeSummary> types = [];
        foreach (TensorEntry entry in checkpoint.Tensors.Values)
        {
            TensorTypeSummary type = types.GetValueOrDefault(entry.Type) ?? new(entry.Type, 0, 0);
            types[entry.Type] = type with { Tensors = type.Tensors + 1, Bytes = type.Bytes + entry.ByteLength };

            bool isScale = checkpoint.IsBlockScale(entry.Name);
            string owner = isScale ? entry.Name[..^BlockQuantization.ScaleSuffix.Length] : entry.Name;
            TensorGroup? group = groupOf.TryGetValue(owner, out TensorGroup known) ? known
                : owner.StartsWith("model.mtp.", StringComparison.Ordinal) ? TensorGroup.Mtp
                : owner == ModelConfig.HeadName && checkpoint.Config.TieWordEmbeddings ? TensorGroup.Head : null;
            TensorGroupSummary sum = group is null ? others : groups.GetValueOrDefault(group.Value) ?? new(group, 0, 0, 0);
            sum = new TensorGroupSummary(group, sum.Tensors + (isScale ? 0 : 1), sum.Parameters + (isScale ? 0 : entry.ElementCount), sum.Bytes + entry.ByteLength);
            if (group is null)
            {
                others = sum;
            }
            else
            {
                groups[group.Value] = sum;
            }
        }

        TensorDifferences differences = checkpoint.Compare(expected, ignoreMtp: false);
        List<TensorGroupSummary> ordered = [.. groups.Values.OrderBy(g => g.Group)];
        if (others.Tensors > 0)
        {
            ordered.Add(others);
        }

        return new CheckpointSummary
        {
            Folder = checkpoint.Folder,
            Config = checkpoint.Config,
            FileCount = checkpoint.Files.Count,
            TensorCount = ordered.Sum(g => g.Tensors),
            Parameters = ordered.Sum(g => g.Parameters),
            Bytes = ordered.Sum(g => g.Bytes),
            Groups = ordered.AsReadOnly(),
            Types = [.. types.Values.OrderByDescending(t => t.Bytes).ThenBy(t => t.Type)],
            Missing = [.. differences.Missing.Select(m => m.Name)],
            Extra = [.. differences.Extra],
            Misfitting = [.. differences.Misfitting.Select(m => $"{m.Name} {m.Problem}")],
        };
    }
}
