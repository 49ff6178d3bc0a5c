using System.Text.Json.Serialization;

namespace LongCat.ML;

/// <summary>What every step over text rows has in common.</summary>
public abstract class StepOptions
{
    private protected StepOptions()
    {
    }

    /// <summary>The folder of the exported model (the one that holds <c>longcat.json</c>).</summary>
    /// <remarks>A saved pipeline keeps the model's content hash and this path; see <see cref="LongCatOptions.ModelSearchPath"/> for how the model is found again.</remarks>
    [JsonIgnore]
    public string ModelFolder { get; set; } = "";

    /// <summary>The text column to read.</summary>
    public string InputColumnName { get; set; } = "Text";

    /// <summary>How many rows are in the engine at once, 1 to 4096. A batched view reads that far ahead of the row being consumed.</summary>
    public int MaxRowsInFlight { get; set; } = 32;

    /// <summary>What to do with a row that is longer than the model's context.</summary>
    public OverlongRow OverlongRows { get; set; } = OverlongRow.Fail;

    /// <summary>What to do with a row that fails.</summary>
    public FailingRow FailingRows { get; set; } = FailingRow.Fail;

    /// <summary>How the engine is set up.</summary>
    public EngineSettings Engine { get; set; } = new();

    /// <summary>The adapter with which all rows run, one of <see cref="EngineSettings.Adapters"/>; null for the model alone. Tokenize has no use for one.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Adapter { get; set; }

    /// <summary>
    /// The text column that names each row's adapter, one of <see cref="EngineSettings.Adapters"/>; an empty text stands for the model alone. Null: all rows run with
    /// <see cref="Adapter"/>. Rows of different adapters run in the same batches. A row with an unknown name fails, see <see cref="FailingRows"/>.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? AdapterColumnName { get; set; }

    /// <summary>The same settings in an object of their own.</summary>
    internal StepOptions Copy() => (StepOptions)MemberwiseClone();

    internal virtual void Validate()
    {
        Throw.IfBlank(ModelFolder, nameof(ModelFolder));
        Throw.IfBlank(InputColumnName, nameof(InputColumnName));
        Throw.IfOutside(MaxRowsInFlight, 1, 4096, nameof(MaxRowsInFlight));
        Throw.IfOutside((int)OverlongRows, 0, 2, nameof(OverlongRows));
        Throw.IfOutside((int)FailingRows, 0, 1, nameof(FailingRows));
        ArgumentNullException.ThrowIfNull(Engine);
        Engine.Validate();
        string known = Engine.Adapters.Count == 0 ? "none" : string.Join(", ", Engine.Adapters.Keys.Select(name => $"'{name}'"));
        if (Adapter is not null && !Engine.Adapters.ContainsKey(Adapter))
        {
            throw new ArgumentException($"{nameof(Adapter)} is '{Adapter}'; expected a name of {nameof(Engine)}.{nameof(EngineSettings.Adapters)}, which has {known}.", nameof(Adapter));
        }

        if (AdapterColumnName is not null)
        {
            Throw.IfBlank(AdapterColumnName, nameof(AdapterColumnName));
            if (Adapter is not null || Engine.Adapters.Count == 0)
            {
                throw new ArgumentException(
                    $"{nameof(AdapterColumnName)} is '{AdapterColumnName}', {nameof(Adapter)} is {(Adapter is null ? "null" : $"'{Adapter}'")} and {nameof(Engine)}.{nameof(EngineSettings.Adapters)} has {known}; "
                    + $"expected at least one adapter there, and {nameof(Adapter)} null, since the column decides for every row.",
                    nameof(AdapterColumnName));
            }
        }
    }
}
