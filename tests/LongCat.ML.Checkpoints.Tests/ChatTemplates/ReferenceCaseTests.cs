using System.Text;
using System.Text.Json;
using Xunit.Abstractions;

namespace LongCat.ML.Checkpoints.Tests.ChatTemplates;

/// <summary>
/// Every construct against texts that the reference renderer gave: <c>cases.json</c> beside this file holds templates, their variables and what jinja2
/// renders with the settings of transformers (<c>reference.py</c> there writes it).
/// </summary>
public class ReferenceCaseTests(ITestOutputHelper output)
{
    [Fact]
    public void TextsEqualTheReference()
    {
        StringBuilder differences = new();
        int count = 0, refused = 0;
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "ChatTemplates", "cases.json")));
        ChatTemplateOptions options = new()
        {
            AddGenerationPrompt = false,
            Clock = new ReferenceClock(),
            Variables = document.RootElement.GetProperty("variables").EnumerateObject().ToDictionary(member => member.Name, member => (object?)member.Value),
        };
        foreach (JsonElement entry in document.RootElement.GetProperty("cases").EnumerateArray())
        {
            count++;
            string name = entry.GetProperty("name").GetString()!;
            bool fails = !entry.TryGetProperty("expected", out JsonElement expected);
            refused += fails ? 1 : 0;
            (string? text, string? error) = Render(entry.GetProperty("template").GetString()!, name, options);
            if (fails ? error is null : text != expected.GetString())
            {
                differences.AppendLine($"--- {name}: {Difference(fails ? "error " + entry.GetProperty("error").GetString() : expected.GetString()!, error ?? text!)}");
            }
        }

        output.WriteLine($"{count} cases, {refused} of them errors");
        Assert.True(count > 190, $"expected more than 190 cases beside the tests, found {count}");
        Assert.True(differences.Length == 0, differences.ToString());
    }

    /// <summary>Where two texts part, with what stands around it.</summary>
    private static string Difference(string expected, string got)
    {
        int at = expected.AsSpan().CommonPrefixLength(got);
        return $"at {at}\n  expected {Show(expected)}\n  got      {Show(got)}";

        string Show(string text) => text[Math.Max(0, at - 40)..Math.Min(text.Length, at + 80)].Replace("\n", "\\n", StringComparison.Ordinal);
    }

    private static (string? Text, string? Error) Render(string template, string name, ChatTemplateOptions options)
    {
        try
        {
            return (ChatTemplate.Parse(template, name).Render([], options), null);
        }
        catch (ChatTemplateException error)
        {
            return (null, error.Message);
        }
    }
}
