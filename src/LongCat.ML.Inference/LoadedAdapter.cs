namespace LongCat.ML.Inference;

/// <summary>An adapter that an engine holds. Immutable.</summary>
public sealed record LoadedAdapter
{
    /// <summary>The name by which requests ask for it.</summary>
    public required string Name { get; init; }

    /// <summary>The folder that it was read from.</summary>
    public required string Folder { get; init; }

    /// <summary>SHA-256 of what it holds, in lower-case hexadecimal.</summary>
    public required string ContentHash { get; init; }

    /// <summary>The modules that it changes.</summary>
    public required int Modules { get; init; }

    /// <summary>Its largest rank.</summary>
    public required int Rank { get; init; }

    /// <summary>Bytes of memory that it takes while the engine lives: its matrices, the gains of DoRA and copies of matrices into which it is merged (kv_b_proj).</summary>
    public required long Bytes { get; init; }
}
