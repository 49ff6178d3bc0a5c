using Microsoft.ML;
using Microsoft.ML.Data;

namespace LongCat.ML.Inputs;

/// <summary>What a column that a step reads must hold.</summary>
internal enum InputKind
{
    Text,
    Texts,
    TextOrTexts,
    Int32,
    Int64,
    Single,
}

/// <summary>A column that a step reads.</summary>
internal readonly record struct StepInput(string Name, InputKind Kind)
{
    /// <summary>What is expected, in words.</summary>
    public string Expected => Kind switch
    {
        InputKind.Text => "text (String)",
        InputKind.Texts => "a vector of text (String)",
        InputKind.TextOrTexts => "text (String) or a vector of text",
        _ => Kind.ToString(),
    };

    /// <summary>Whether a column of this item type fits.</summary>
    public bool Fits(DataViewType item, bool isVector) => Kind switch
    {
        InputKind.Text => item is TextDataViewType && !isVector,
        InputKind.Texts => item is TextDataViewType && isVector,
        InputKind.TextOrTexts => item is TextDataViewType,
        InputKind.Int32 => item == NumberDataViewType.Int32 && !isVector,
        InputKind.Int64 => item == NumberDataViewType.Int64 && !isVector,
        _ => item == NumberDataViewType.Single && !isVector,
    };
}
