namespace LongCat.ML.Checkpoints;

/// <summary>The kinds of token of a template.</summary>
internal enum TemplateTokenKind
{
    /// <summary>Text outside tags.</summary>
    Data,

    /// <summary><c>{{</c>.</summary>
    VariableBegin,

    /// <summary><c>}}</c>.</summary>
    VariableEnd,

    /// <summary><c>{%</c>.</summary>
    BlockBegin,

    /// <summary><c>%}</c>.</summary>
    BlockEnd,

    /// <summary>A name or keyword.</summary>
    Name,

    /// <summary>A string, unescaped.</summary>
    String,

    /// <summary>A number.</summary>
    Number,

    /// <summary>An operator or bracket.</summary>
    Operator,

    /// <summary>The end of the template.</summary>
    End,
}

/// <summary>A token of a template.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Text">The text; of a string what it stands for.</param>
/// <param name="Line">The line it starts on, from 1.</param>
/// <param name="Number">The value of a number, a long or a double.</param>
internal readonly record struct TemplateToken(TemplateTokenKind Kind, string Text, int Line, object? Number = null)
{
    public bool Is(string operatorText) => Kind == TemplateTokenKind.Operator && Text == operatorText;

    public bool IsName(string name) => Kind == TemplateTokenKind.Name && Text == name;

    /// <summary>How an error names it.</summary>
    public string Described => Kind switch
    {
        TemplateTokenKind.End => "the end of the template",
        TemplateTokenKind.VariableEnd => "`}}`",
        TemplateTokenKind.BlockEnd => "`%}`",
        TemplateTokenKind.VariableBegin => "`{{`",
        TemplateTokenKind.BlockBegin => "`{%`",
        TemplateTokenKind.Data => "text",
        _ => $"`{CheckpointException.Printable(Text)}`",
    };
}
