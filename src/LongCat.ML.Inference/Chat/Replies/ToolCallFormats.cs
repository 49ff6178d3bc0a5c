namespace LongCat.ML.Inference.Chat.Replies;

/// <summary>How a model writes the calls of tools; a template may know more than one.</summary>
[Flags]
internal enum ToolCallFormats
{
    None = 0,

    /// <summary><c>&lt;longcat_tool_call&gt;</c> … <c>&lt;/longcat_tool_call&gt;</c> around JSON (LongCat-Flash-Chat), or around a name and pairs of keys and values (LongCat-Flash-Lite, Thinking-2601).</summary>
    LongCat = 1,

    /// <summary><c>&lt;tool_call&gt;</c> … <c>&lt;/tool_call&gt;</c> around JSON (Qwen 2.5 and 3, Hermes).</summary>
    Qwen = 2,

    /// <summary><c>[TOOL_CALLS]</c>, then a JSON array of calls, or name, <c>[ARGS]</c> and JSON.</summary>
    Mistral = 4,

    /// <summary>The whole reply is JSON with a name and parameters, perhaps after <c>&lt;|python_tag|&gt;</c> (Llama 3).</summary>
    Llama = 8,
}
