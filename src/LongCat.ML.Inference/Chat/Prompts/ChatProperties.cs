using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.AI;

namespace LongCat.ML.Inference.Chat.Prompts;

/// <summary>The keys of <see cref="ChatOptions.AdditionalProperties"/> that mean something here; all others belong to somebody else.</summary>
internal sealed record ChatProperties
{
    /// <summary><c>adapter</c>.</summary>
    public string? Adapter { get; private init; }

    /// <summary><c>logprobs</c> and <c>top_logprobs</c>, as <see cref="GenerationOptions.LogProbabilities"/>; null where neither is there.</summary>
    public int? LogProbabilities { get; private init; }

    /// <summary><c>chat_template_kwargs</c>.</summary>
    public IReadOnlyDictionary<string, object?> TemplateVariables { get; private init; } = new Dictionary<string, object?>();

    /// <exception cref="ArgumentException">A value is of the wrong type.</exception>
    public static ChatProperties Read(AdditionalPropertiesDictionary? properties)
    {
        if (properties is null)
        {
            return new ChatProperties();
        }

        bool? wanted = Get(properties, "logprobs") switch
        {
            null => null,
            bool value => value,
            JsonElement { ValueKind: JsonValueKind.True } => true,
            JsonElement { ValueKind: JsonValueKind.False } => false,
            object other => throw Wrong("logprobs", other, "true or false"),
        };
        int? top = Get(properties, "top_logprobs") switch
        {
            null => null,
            int value and >= 0 => value,
            long value and >= 0 and <= int.MaxValue => (int)value,
            JsonElement { ValueKind: JsonValueKind.Number } number when number.TryGetInt32(out int value) && value >= 0 => value,
            object other => throw Wrong("top_logprobs", other, "a whole number from 0 on"),
        };
        return new ChatProperties
        {
            Adapter = Get(properties, "adapter") switch
            {
                null => null,
                string name => name,
                JsonElement { ValueKind: JsonValueKind.String } name => name.GetString(),
                object other => throw Wrong("adapter", other, "the name of an adapter"),
            },
            LogProbabilities = wanted == false ? 0 : top > 0 ? top : wanted == true ? -1 : top is null ? null : 0,
            TemplateVariables = Get(properties, "chat_template_kwargs") switch
            {
                null => new Dictionary<string, object?>(),
                IEnumerable<KeyValuePair<string, object?>> variables => variables.ToDictionary(pair => pair.Key, pair => pair.Value, StringComparer.Ordinal),
                JsonElement { ValueKind: JsonValueKind.Object } variables => variables.EnumerateObject().ToDictionary(pair => pair.Name, pair => (object?)pair.Value, StringComparer.Ordinal),
                object other => throw Wrong("chat_template_kwargs", other, "a dictionary of the template's variables"),
            },
        };
    }

    private static object? Get(AdditionalPropertiesDictionary properties, string key) =>
        properties.TryGetValue(key, out object? value) && value is not JsonElement { ValueKind: JsonValueKind.Null } ? value : null;

    private static ArgumentException Wrong(string key, object value, string expected) =>
        new(string.Create(CultureInfo.InvariantCulture, $"ChatOptions.AdditionalProperties[\"{key}\"] is {value} ({value.GetType().Name}); {expected} is expected."));
}
