namespace LongCat.ML.Checkpoints;

/// <summary>How a decoder family's config.json gives attention windows.</summary>
internal enum DecoderWindowRule
{
    /// <summary>No windows.</summary>
    None,

    /// <summary><c>sliding_window</c> holds for every layer.</summary>
    EveryLayer,

    /// <summary><c>sliding_window</c> counts only with <c>use_sliding_window</c>, in the layers that <c>layer_types</c> or else <c>max_window_layers</c> names.</summary>
    SomeLayers,
}
