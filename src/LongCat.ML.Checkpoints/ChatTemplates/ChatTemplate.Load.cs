using System.Text;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

public sealed partial class ChatTemplate
{
    private const string TemplateFile = "chat_template.jinja";
    private const string ConfigFile = "tokenizer_config.json";
    private const string TokensFile = "special_tokens_map.json";

    /// <summary>Holds the template, hundreds of added tokens and nothing else of size.</summary>
    private const long LargestConfig = 64L << 20;

    private static readonly JsonDocumentOptions s_json = new() { MaxDepth = 64 };

    /// <summary>
    /// Loads the template of a model: <c>chat_template.jinja</c>, else <c>chat_template</c> of <c>tokenizer_config.json</c> (one text, or several with
    /// names: <c>default</c>, and <c>tool_use</c> which renders whenever tools are given). Special tokens come from <c>tokenizer_config.json</c>, else
    /// <c>special_tokens_map.json</c>.
    /// </summary>
    /// <param name="folder">The folder of the model: a checkpoint's (a Hugging Face cache's too), or an exported one.</param>
    /// <returns>The template; null where the folder has none.</returns>
    /// <exception cref="ChatTemplateException">The template is malformed or uses what is not supported.</exception>
    /// <exception cref="CheckpointException">A file cannot be read or is no JSON of the expected form.</exception>
    public static ChatTemplate? Load(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        folder = HuggingFaceCache.Resolve(folder);
        string templatePath = Path.Combine(folder, TemplateFile), configPath = Path.Combine(folder, ConfigFile), tokensPath = Path.Combine(folder, TokensFile);
        using JsonDocument? config = File.Exists(configPath) ? ReadObject(configPath) : null;
        ChatTemplate? template = File.Exists(templatePath) ? Parse(ReadText(templatePath), templatePath) : null;
        try
        {
            template ??= config is not null && config.RootElement.TryGetProperty("chat_template", out JsonElement element) ? OfConfig(element, configPath) : null;
            if (template is not null)
            {
                using JsonDocument? tokens = File.Exists(tokensPath) ? ReadObject(tokensPath) : null;
                ReadTokens(tokens, tokensPath, template);
                ReadTokens(config, configPath, template);
            }
        }
        catch (InvalidOperationException error)
        {
            throw new CheckpointException(configPath, $"a string is no valid Unicode: {error.Message}", error);
        }

        return template;
    }

    private static string ReadText(string path)
    {
        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(BoundedFile.Read(path, 4L * LongestTemplate).Span);
        }
        catch (DecoderFallbackException error)
        {
            throw new CheckpointException(path, "expected UTF-8, got bytes that are none", error);
        }
    }

    private static JsonDocument ReadObject(string path)
    {
        JsonDocument? document = null;
        try
        {
            document = JsonDocument.Parse(BoundedFile.Read(path, LargestConfig), s_json);
            return document.RootElement.ValueKind == JsonValueKind.Object ? document : throw new CheckpointException(path, $"expected an object, got {document.RootElement.ValueKind}");
        }
        catch (JsonException error)
        {
            throw new CheckpointException(path, $"expected JSON, got something else: {error.Message}", error);
        }
        catch (CheckpointException)
        {
            document?.Dispose();
            throw;
        }
    }

    private static ChatTemplate? OfConfig(JsonElement element, string path)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.Null:
                return null;
            case JsonValueKind.String:
                return Parse(element.GetString()!, path);
            case JsonValueKind.Array:
                Dictionary<string, string> named = new(StringComparer.Ordinal);
                foreach (JsonElement entry in element.EnumerateArray())
                {
                    bool valid = entry.ValueKind == JsonValueKind.Object
                        && entry.TryGetProperty("name", out JsonElement name) && name.ValueKind == JsonValueKind.String
                        && entry.TryGetProperty("template", out JsonElement text) && text.ValueKind == JsonValueKind.String
                        && named.TryAdd(name.GetString()!, text.GetString()!);
                    if (!valid)
                    {
                        throw new CheckpointException(path, "chat_template: expected a list of objects with `name` (each once) and `template`, both texts");
                    }
                }

                if (!named.TryGetValue("default", out string? fallback))
                {
                    throw new CheckpointException(path, $"chat_template: expected one named `default`, got {string.Join(", ", named.Keys.Select(CheckpointException.Printable))}");
                }

                ChatTemplate template = Parse(fallback, $"{path} (default)");
                template._toolTemplate = named.TryGetValue("tool_use", out string? tools) ? Parse(tools, $"{path} (tool_use)") : null;
                return template;
            default:
                throw new CheckpointException(path, $"chat_template: expected a text or a list of named templates, got {element.ValueKind}");
        }
    }

    /// <summary>Special tokens are texts or objects with a <c>content</c>; all others are left alone.</summary>
    private static void ReadTokens(JsonDocument? document, string path, ChatTemplate template)
    {
        if (document is null)
        {
            return;
        }

        foreach (string name in new[] { "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token" })
        {
            if (!document.RootElement.TryGetProperty(name, out JsonElement value) || value.ValueKind is JsonValueKind.Null or JsonValueKind.False)
            {
                continue;
            }

            JsonElement content = value;
            if (value.ValueKind == JsonValueKind.Object && !value.TryGetProperty("content", out content))
            {
                content = value;
            }

            string token = content.ValueKind == JsonValueKind.String ? content.GetString()! : throw new CheckpointException(path, $"{name}: expected a text or an object with a text `content`, got {value.ValueKind}");
            template._specialTokens[name] = token;
            if (template._toolTemplate is not null)
            {
                template._toolTemplate._specialTokens[name] = token;
            }
        }
    }
}
