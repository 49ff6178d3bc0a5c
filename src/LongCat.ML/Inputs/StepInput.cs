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

    /// <summary>A label: text, or a key whose values are texts.</summary>
    Label,
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
        InputKind.Label => "text (String) or a key",
        _ => Kind.ToString(),
    };

    /// <summary>Whether a column of this item type fits.</summary>
    public bool Fits(DataViewType item, bool isVector) => Kind switch
    {
        InputKind.Text => item is TextDataViewType && !isVector,
        InputKind.Texts => item is TextDataViewType && isVector,
        InputKind.TextOrTexts => item is TextDataViewType,
        InputKind.Label => item is TextDataViewType or KeyDataViewType && !isVector,
        InputKind.Int32 => item == NumberDataViewType.Int32 && !isVector,
        InputKind.Int64 => item == NumberDataViewType.Int64 && !isVector,
        _ => item == NumberDataViewType.Single && !isVector,
    };
}
