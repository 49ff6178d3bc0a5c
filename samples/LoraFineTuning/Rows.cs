namespace LoraFineTuning;

/// <summary>A documented API member as a row of both tasks.</summary>
internal sealed class MemberRow
{
    public string Member { get; set; } = "";

    /// <summary>Task 1, the text: <c>List&lt;T&gt;.Insert(int index, T item) method</c>.</summary>
    public string Declaration { get; set; } = "";

    /// <summary>Task 1, the label: <c>System.Collections</c>.</summary>
    public string Group { get; set; } = "";

    /// <summary>Task 2, the prompt: the declaration below its namespace, up to the beginning of an XML comment.</summary>
    public string Code { get; set; } = "";

    /// <summary>Task 2, what is to be written: the comment, its leading space included.</summary>
    public string Comment { get; set; } = "";
}

/// <summary>What task 1 adds to a row.</summary>
internal sealed class GroupedRow
{
    public string Declaration { get; set; } = "";

    public string Group { get; set; } = "";

    /// <summary>What MapKeyToValue made of the predicted key.</summary>
    public string PredictedGroup { get; set; } = "";
}

/// <summary>What task 2 adds to a row.</summary>
internal sealed class CommentedRow
{
    public string Code { get; set; } = "";

    public string Comment { get; set; } = "";

    public string Completion { get; set; } = "";
}
