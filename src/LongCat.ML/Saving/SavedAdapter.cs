using LongCat.ML.Steps;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.Transforms;

namespace LongCat.ML.Saving;

/// <summary>A row's first text and its adapter, as the mapping in front of a saved step reads them.</summary>
internal sealed class SavedAdapter
{
    [ColumnName(SavedNames.Text)]
    public ReadOnlyMemory<char> Text { get; set; }

    [ColumnName(SavedNames.Adapter)]
    public ReadOnlyMemory<char> Adapter { get; set; }
}

/// <summary>Both as one text: the adapter is its first line, since names have no line breaks.</summary>
internal sealed class SavedAdaptedText
{
    [ColumnName(SavedNames.AdaptedText)]
    public string AdaptedText { get; set; } = "";

    /// <summary>Puts the two into the column of the first text.</summary>
    public static EstimatorChain<ITransformer> Save(EstimatorChain<ITransformer> chain, TransformsCatalog transforms) => chain
        .Append<ITransformer>(transforms.CustomMapping(new SavedAdapterFactory().GetMapping(), SavedAdapterFactory.Contract))
        .Append<ITransformer>(transforms.CopyColumns(SavedNames.Text, SavedNames.AdaptedText))
        .Append<ITransformer>(transforms.DropColumns(SavedNames.Adapter, SavedNames.AdaptedText));

    /// <summary>Takes the two apart.</summary>
    public static RowTexts Split(string text, string second)
    {
        int end = text.IndexOf('\n', StringComparison.Ordinal);
        return new RowTexts(text[(end + 1)..], second, text[..Math.Max(0, end)]);
    }
}

/// <summary>Makes the mapping when ML.NET loads a saved step whose rows name their adapters.</summary>
[CustomMappingFactoryAttribute(Contract)]
internal sealed class SavedAdapterFactory : CustomMappingFactory<SavedAdapter, SavedAdaptedText>
{
    public const string Contract = "LongCat.ML.Adapter.1";

    public override Action<SavedAdapter, SavedAdaptedText> GetMapping() => Map;

    private static void Map(SavedAdapter input, SavedAdaptedText output) => output.AdaptedText = $"{Name(input.Adapter.Span)}\n{input.Text}";

    // A name with a line break is no adapter's; the row must fail by it rather than run on half of it.
    private static string Name(ReadOnlySpan<char> name) => name.ToString().ReplaceLineEndings("\u240A");
}
