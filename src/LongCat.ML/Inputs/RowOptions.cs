using System.Text.Json;
using System.Text.Json.Serialization;
using LongCat.ML.Engines;

namespace LongCat.ML.Inputs;

/// <summary>One row's own settings of a completion; null, or no stop string, takes the step's.</summary>
internal sealed record RowOptions(int? MaxNewTokens, float? Temperature, int? TopK, float? TopP, long? Seed, IReadOnlyList<string> StopStrings)
{
    private static readonly JsonSerializerOptions Json = new()
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,

        // An infinity must reach the check of its row.
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };

    /// <summary>The text in which they pass through a step.</summary>
    public string ToText() => JsonSerializer.Serialize(this, Json);

    public static RowOptions Parse(string text) => JsonSerializer.Deserialize<RowOptions>(text, Json)!;

    /// <summary>The settings of the row's completion.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is out of range; the message names its column.</exception>
    public CompletionSettings Over(CompletionSettings settings, GenerateOptions columns)
    {
        Check(MaxNewTokens, 1, int.MaxValue, columns.MaxNewTokensColumnName);
        Check(Temperature, 0, 100, columns.TemperatureColumnName);
        Check(TopP, float.Epsilon, 1, columns.TopPColumnName);
        return settings with
        {
            MaxNewTokens = MaxNewTokens ?? settings.MaxNewTokens,
            Temperature = Temperature ?? settings.Temperature,
            TopK = TopK ?? settings.TopK,
            TopP = TopP ?? settings.TopP,
            Seed = (ulong?)Seed ?? settings.Seed,
            StopStrings = StopStrings.Count > 0 ? StopStrings : settings.StopStrings,
        };
    }

    private static void Check(double? value, double low, double high, string? column)
    {
        if (value is { } given)
        {
            Throw.IfOutside(given, low, high, $"column '{column}'");
        }
    }
}
