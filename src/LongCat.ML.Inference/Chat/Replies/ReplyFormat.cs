using LongCat.ML.Checkpoints;

namespace LongCat.ML.Inference.Chat.Replies;

/// <summary>
/// How a model marks thoughts and calls of tools in what it writes: read off the vocabulary and the chat template, never off the model's name. Immutable.
/// </summary>
/// <param name="Thinking">The texts that begin and end thoughts.</param>
/// <param name="Tools">How calls of tools are written.</param>
internal sealed record ReplyFormat(IReadOnlyList<(string Open, string Close)> Thinking, ToolCallFormats Tools)
{
    private static readonly (string Open, string Close)[] s_thinking = [("<longcat_think>", "</longcat_think>"), ("<think>", "</think>")];

    /// <summary>Whether LongCat's calls are written as a name and pairs of keys and values rather than as JSON; both are read.</summary>
    public bool ArgumentPairs { get; init; }

    /// <summary>The format of a model.</summary>
    public static ReplyFormat Of(ChatTemplate template, HuggingFaceTokenizer tokenizer)
    {
        ToolCallFormats tools = ToolCallFormats.None;
        tools |= Has("<longcat_tool_call>") ? ToolCallFormats.LongCat : 0;
        tools |= Has("<tool_call>") ? ToolCallFormats.Qwen : 0;
        tools |= Has("[TOOL_CALLS]") ? ToolCallFormats.Mistral : 0;

        // Llama 3 has the token in every vocabulary; its templates up to 3.0 know no tools.
        tools |= Writes("<|python_tag|>") || (Writes("<|start_header_id|>") && Writes("\"parameters\"")) ? ToolCallFormats.Llama : 0;
        return new ReplyFormat([.. s_thinking.Where(pair => Has(pair.Close))], tools) { ArgumentPairs = Writes("<longcat_arg_key>") };

        bool Writes(string text) => template.Source.Contains(text, StringComparison.Ordinal);

        bool Has(string text) => tokenizer.TokenToId(text) is not null || Writes(text);
    }

    /// <summary>The end of the thoughts that a prompt begins for the model; null where it begins none.</summary>
    public string? OpenThought(string prompt)
    {
        string end = prompt.TrimEnd();
        foreach ((string open, string close) in Thinking)
        {
            if (end.EndsWith(open, StringComparison.Ordinal))
            {
                return close;
            }
        }

        return null;
    }
}
