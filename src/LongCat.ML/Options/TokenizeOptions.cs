namespace LongCat.ML;

/// <summary>Settings of <see cref="TokenizeEstimator"/>.</summary>
/// <remarks><see cref="StepOptions.ModelFolder"/> may be any folder with a <c>tokenizer.json</c>, or that file. The other settings of the engine have no effect here.</remarks>
public sealed class TokenizeOptions : StepOptions
{
    /// <summary>The column of token ids: a vector of Int32 whose length differs from row to row.</summary>
    public string OutputColumnName { get; set; } = "Tokens";

    internal override void Validate()
    {
        base.Validate();
        Throw.IfBlank(OutputColumnName, nameof(OutputColumnName));
        if (Engine.Adapters.Count > 0)
        {
            throw new ArgumentException($"{nameof(Engine)}.{nameof(EngineSettings.Adapters)} has {Engine.Adapters.Count} adapters; Tokenize runs no model: expected none.", nameof(Engine));
        }
    }
}
