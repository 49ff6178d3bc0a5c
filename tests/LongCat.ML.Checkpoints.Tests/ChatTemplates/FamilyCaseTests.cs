using System.Text;
using System.Text.Json;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.ChatTemplates;

/// <summary>
/// Whole chats through whole templates: <c>Families</c> holds a template for each family of models, written for this test with the family's marks and constructs, and <c>families.json</c> chats with
/// what jinja2 renders of them (<c>reference.py</c> writes it). Messages go through <see cref="ChatMessage"/>, so the dictionaries that templates see are tested too.
/// </summary>
public class FamilyCaseTests(ITestOutputHelper output)
{
    private static readonly string s_folder = Path.Combine(AppContext.BaseDirectory, "ChatTemplates");

    [Fact]
    public void ChatsEqualTheReference()
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(s_folder, "families.json")));
        JsonElement root = document.RootElement;
        StringBuilder differences = new();
        Dictionary<string, (int Texts, int Errors)> counts = [];
        foreach (JsonElement entry in root.GetProperty("cases").EnumerateArray())
        {
            string family = entry.GetProperty("template").GetString()!, chat = entry.GetProperty("chat").GetString()!;
            bool fails = !entry.TryGetProperty("expected", out JsonElement expected);
            (int texts, int errors) = counts.GetValueOrDefault(family);
            counts[family] = fails ? (texts, errors + 1) : (texts + 1, errors);
            (string? text, string? error) = Render(family, root.GetProperty("chats").GetProperty(chat), entry, root.GetProperty("tokens"));
            if (fails ? error is null : text != expected.GetString())
            {
                differences.AppendLine($"--- {family}, {chat}, {entry.GetProperty("variables").GetRawText()}\nexpected {(fails ? entry.GetProperty("error").GetString() : expected.GetString())}\ngot      {error ?? text}");
            }
            else if (fails && entry.GetProperty("error").GetString() is { } told && told.StartsWith("TemplateError: ", StringComparison.Ordinal))
            {
                // What the template itself says must reach the caller.
                Assert.Contains(told["TemplateError: ".Length..], error, StringComparison.Ordinal);
            }
        }

        foreach ((string family, (int texts, int errors)) in counts)
        {
            output.WriteLine($"{family}: {texts} texts, {errors} refusals");
            Assert.True(texts >= 4, $"{family} has {texts} texts");
        }

        Assert.Equal(Directory.GetFiles(Path.Combine(s_folder, "Families"), "*.jinja").Select(Path.GetFileNameWithoutExtension).Order(), counts.Keys.Order());
        Assert.True(differences.Length == 0, differences.ToString());
    }

    private static (string? Text, string? Error) Render(string family, JsonElement chat, JsonElement entry, JsonElement tokens)
    {
        ChatTemplateOptions options = new()
        {
            AddGenerationPrompt = entry.GetProperty("add_generation_prompt").GetBoolean(),
            Tools = chat.GetProperty("tools").ValueKind == JsonValueKind.Null ? null : [.. chat.GetProperty("tools").EnumerateArray()],
            BosToken = tokens.GetProperty("bos_token").GetString(),
            EosToken = tokens.GetProperty("eos_token").GetString(),
            Clock = new ReferenceClock(),
            Variables = entry.GetProperty("variables").EnumerateObject().ToDictionary(member => member.Name, member => (object?)member.Value),
        };
        try
        {
            ChatTemplate template = ChatTemplate.Parse(File.ReadAllText(Path.Combine(s_folder, "Families", family + ".jinja")), family);
            return (template.Render([.. chat.GetProperty("messages").EnumerateArray().Select(Message)], options), null);
        }
        catch (ChatTemplateException error)
        {
            return (null, error.Message);
        }
    }

    private static ChatMessage Message(JsonElement source)
    {
        ChatMessage message = new(Text(source, "role")!, Text(source, "content"))
        {
            ReasoningContent = Text(source, "reasoning_content"),
            Name = Text(source, "name"),
            ToolCallId = Text(source, "tool_call_id"),
        };
        if (source.TryGetProperty("files", out JsonElement files))
        {
            message = message with { Other = new Dictionary<string, JsonElement> { ["files"] = files } };
        }

        return !source.TryGetProperty("tool_calls", out JsonElement calls) ? message : message with
        {
            ToolCalls =
            [
                .. calls.EnumerateArray().Select(call => new ChatToolCall(Text(call.GetProperty("function"), "name")!, call.GetProperty("function").GetProperty("arguments"), Text(call, "id"))),
            ],
        };
    }

    private static string? Text(JsonElement source, string key) => source.TryGetProperty(key, out JsonElement value) ? value.GetString() : null;
}
