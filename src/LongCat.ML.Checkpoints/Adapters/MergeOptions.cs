namespace LongCat.ML.Checkpoints;

/// <summary>What <see cref="MergedCheckpoint.Write"/> may do besides what is always right.</summary>
public sealed record MergeOptions
{
    /// <summary>Whether an earlier merge in the output folder is replaced; false by default. A folder that no merge wrote is never replaced.</summary>
    public bool Overwrite { get; init; }

    /// <summary>
    /// Whether an adapter that was trained on quantized weights (<see cref="PeftAdapter.TrainedOn"/>) is merged into the checkpoint's own all the same; false by default, since the result is another model
    /// than the one that was trained.
    /// </summary>
    public bool OntoUnquantized { get; init; }
}
