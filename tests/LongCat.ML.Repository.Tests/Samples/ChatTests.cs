using LongCat.ML.TestShared;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

/// <summary>The terminal chat over a tiny model of random weights: turns, commands and errors, not wisdom.</summary>
public sealed class ChatTests(ITestOutputHelper output)
{
    private const string Template = """
        {%- for message in messages %}{{- '<longcat_' ~ message.role ~ '>' ~ message.content }}{% if message.role == 'assistant' %}{{- '</longcat_s>' }}{% endif %}{% endfor %}
        {%- if tools %}<longcat_tool_call>{% endif %}{{- '<longcat_assistant>' }}
        """;

    [Fact]
    public async Task Lines_are_turns_of_one_chat()
    {
        using TemporaryFolder folder = new();
        string model = RandomCheckpoint.Write(folder["tiny-chat"], new RandomCheckpointOptions { Layers = 1, Tokenizer = true });
        File.WriteAllText(Path.Combine(model, "chat_template.jinja"), Template);
        (int code, string printed, string error) = await SampleProcess.StartWithInputAsync(
            "Chat", "Hello\n\nAnd then?\n/new\nHello\n/exit\nnever read\n", model, "--system", "S", "--max-tokens", "4", "--seed", "1", "--clock");
        output.WriteLine(printed);
        Assert.True(code == 0, $"exit code {code}: {error}");
        Assert.StartsWith("tiny-chat: one line is one turn", printed, StringComparison.Ordinal);

        // Turns grow the prompt by reply and question; /new brings the first prompt back.
        string[] replies = [.. printed.Split('\n').Where(line => line.StartsWith('(') && line.Contains(" tokens, ", StringComparison.Ordinal))];
        Assert.Equal(3, replies.Length);
        int[] prompts = [.. replies.Select(line => int.Parse(line[1..line.IndexOf(' ', StringComparison.Ordinal)], System.Globalization.CultureInfo.InvariantCulture))];
        Assert.True(prompts[1] > prompts[0] + "And then?".Length, string.Join(", ", prompts));
        Assert.Equal(prompts[0], prompts[2]);
    }

    [Fact]
    public async Task A_model_without_a_template_and_wrong_usage_are_told()
    {
        (int code, _, string error) = await SampleProcess.StartAsync("Chat", Path.Combine(Repository.Root, "samples", "models", "longcat-nano"));
        Assert.Equal(1, code);
        Assert.Contains("holds no chat template", error, StringComparison.Ordinal);
        (code, _, error) = await SampleProcess.StartAsync("Chat", "folder", "--seed", "x");
        Assert.Equal(2, code);
        Assert.StartsWith("usage:", error, StringComparison.Ordinal);
    }
}
