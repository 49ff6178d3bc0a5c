using LongCat.ML.Inputs;
using LongCat.ML.Steps;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms;

namespace LongCat.ML.Saving;

/// <summary>The settings of a row, as the mapping in front of a saved Generate step reads them.</summary>
internal sealed class SavedRowOptions
{
    [ColumnName(SavedNames.MaxNewTokens)]
    public int MaxNewTokens { get; set; }

    [ColumnName(SavedNames.Temperature)]
    public float Temperature { get; set; }

    [ColumnName(SavedNames.TopK)]
    public int TopK { get; set; }

    [ColumnName(SavedNames.TopP)]
    public float TopP { get; set; }

    [ColumnName(SavedNames.Seed)]
    public long Seed { get; set; }

    [ColumnName(SavedNames.StopStrings)]
    public VBuffer<ReadOnlyMemory<char>> StopStrings { get; set; }
}

/// <summary>The settings of a row as one text.</summary>
internal sealed class SavedRowOptionsText
{
    [ColumnName(SavedNames.RowOptions)]
    public string RowOptions { get; set; } = "";
}

/// <summary>Makes the mapping when ML.NET loads a saved Generate step whose rows have settings of their own.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedRowOptionsFactory : CustomMappingFactory<SavedRowOptions, SavedRowOptionsText>
{
    public const string Contract = "LongCat.ML.RowOptions.1";

    public override Action<SavedRowOptions, SavedRowOptionsText> GetMapping() => Map;

    private static void Map(SavedRowOptions input, SavedRowOptionsText output) => output.RowOptions = RowOptionsText.Text(
        input.MaxNewTokens, input.Temperature, input.TopK, input.TopP, input.Seed, TextVector.Strings(input.StopStrings));
}
