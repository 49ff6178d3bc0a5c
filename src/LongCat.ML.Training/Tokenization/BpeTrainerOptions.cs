namespace LongCat.ML.Training.Tokenization;

/// <summary>What <see cref="BpeTrainer"/> is to make.</summary>
public sealed record BpeTrainerOptions
{
    /// <summary>The first stage of LongCat's pre-tokenizer: contractions, words with one leading character, single digits, punctuation, line ends, spaces.</summary>
    public const string LongcatPattern =
        @"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// <summary>
    /// LongCat's special tokens in the order of their ids: 0 unknown, 1 begin of text, 2 end of text (and of a turn), 3 padding, then those of the chat templates.
    /// </summary>
    public static IReadOnlyList<string> LongcatSpecialTokens { get; } =
    [
        "<longcat_unk>", "<longcat_s>", "</longcat_s>", "<longcat_pad>",
        "<longcat_system>", "<longcat_user>", "<longcat_assistant>", "<longcat_think>", "</longcat_think>",
        "<longcat_tool_declare>", "</longcat_tool_declare>", "<longcat_tool_call>", "</longcat_tool_call>",
        "<longcat_arg_key>", "</longcat_arg_key>", "<longcat_arg_value>", "</longcat_arg_value>",
        "<longcat_tool_response>", "</longcat_tool_response>", "<longcat_files>", "</longcat_files>",
    ];

    /// <summary>How many ids the vocabulary may have, special tokens and the 256 bytes included.</summary>
    public int VocabularySize { get; init; } = 4096;

    /// <summary>A pair that occurs less often is not merged, even if the vocabulary then stays smaller.</summary>
    public int MinimumFrequency { get; init; } = 2;

    /// <summary>The special tokens; they get the ids 0, 1, 2, …</summary>
    public IReadOnlyList<string> SpecialTokens { get; init; } = LongcatSpecialTokens;

    /// <summary>The begin-of-text token; must be among the special tokens.</summary>
    public string BeginOfText { get; init; } = "<longcat_s>";

    /// <summary>The end-of-text token; must be among the special tokens.</summary>
    public string EndOfText { get; init; } = "</longcat_s>";

    /// <summary>The padding token, or null.</summary>
    public string? Padding { get; init; } = "<longcat_pad>";

    /// <summary>The token for what is unknown (nothing is, in a byte-level vocabulary), or null.</summary>
    public string? Unknown { get; init; } = "<longcat_unk>";

    /// <summary>Whether encoding puts <see cref="BeginOfText"/> in front (a template in <c>tokenizer.json</c>).</summary>
    public bool AddBeginOfText { get; init; } = true;

    /// <summary>The regular expression that splits text into pieces; no merge crosses a piece's end.</summary>
    public string Pattern { get; init; } = LongcatPattern;
}
