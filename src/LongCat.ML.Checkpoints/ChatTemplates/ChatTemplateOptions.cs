using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>What a template is rendered with besides the messages.</summary>
public sealed record ChatTemplateOptions
{
    /// <summary>
    /// Whether the text ends with the beginning of an assistant's turn (<c>add_generation_prompt</c>). The default is true, since a rendered chat usually is
    /// a prompt; the reference's default is false.
    /// </summary>
    public bool AddGenerationPrompt { get; init; } = true;

    /// <summary>
    /// The tools that may be called, each as JSON in the form <c>{"type": "function", "function": {"name", "description", "parameters"}}</c>; null for none.
    /// </summary>
    public IReadOnlyList<JsonElement>? Tools { get; init; }

    /// <summary>
    /// Further variables by name, such as <c>enable_thinking</c> or <c>documents</c>. Values: null, <see cref="bool"/>, whole numbers, <see cref="double"/>,
    /// <see cref="string"/>, <see cref="JsonElement"/>, dictionaries with string keys, and lists of these. They win over everything else of the same name.
    /// </summary>
    public IReadOnlyDictionary<string, object?>? Variables { get; init; }

    /// <summary>Replaces the folder's begin-of-text token (<c>bos_token</c>); null keeps it.</summary>
    public string? BosToken { get; init; }

    /// <summary>Replaces the folder's end-of-text token (<c>eos_token</c>); null keeps it.</summary>
    public string? EosToken { get; init; }

    /// <summary>The clock behind <c>strftime_now</c>; the system's local time by default.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}
