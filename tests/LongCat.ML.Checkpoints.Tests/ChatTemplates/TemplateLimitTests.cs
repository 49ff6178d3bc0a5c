using System.Diagnostics;
using System.Text.Json;

namespace LongCat.ML.Checkpoints.Tests.ChatTemplates;

/// <summary>A template is a program from a download: whatever it does, it ends soon and takes little memory.</summary>
public class TemplateLimitTests
{
    private const string Work = "asks for more work";

    [Theory]
    [InlineData("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", Work)]
    [InlineData("{{ 'a' * 1000000000 }}", Work)]
    [InlineData("{{ 'a' * 9223372036854775807 }}", Work)]
    [InlineData("{{ [0] * 1000000000 }}", Work)]
    [InlineData("{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", Work)]
    [InlineData("{% set ns = namespace(l=[0]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}", Work)]
    [InlineData("{% set ns = namespace(l=[0]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}", Work)]
    [InlineData("{% set ns = namespace(l=[0]) %}{% for i in range(200) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}", "nested too deeply")]
    [InlineData("{% set ns = namespace(l=[0]) %}{% for i in range(200) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l == ns.l + [] }}", "nested too deeply")]
    [InlineData("{{ 'abc'.replace('', 'x' * 10000000).replace('x', 'y' * 10000000) }}", Work)]
    [InlineData("{{ ('a' * 1000000).join(range(1000)|map('string')) }}", Work)]
    [InlineData("{{ 'a'.center(2000000000) }}", Work)]
    [InlineData("{{ 'a'.zfill(2000000000) }}", Work)]
    [InlineData("{{ 'a'|indent(2000000000) }}", Work)]
    [InlineData("{{ [1]|tojson(indent=2000000000) }}", Work)]
    [InlineData("{{ [1]|batch(2000000000, 'x')|list }}", Work)]
    [InlineData("{{ [1]|slice(2000000000)|list }}", Work)]
    [InlineData("{{ '%2000000000d' % 1 }}", "a width or precision")]
    [InlineData("{% macro r(n) %}{{ r(n + 1) }}{{ r(n + 1) }}{% endmacro %}{{ r(0) }}", "may call each other")]
    [InlineData("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}{{ ns.me.me.me is defined }}{{ ns|tojson }}", "cannot write a namespace")]
    [InlineData("{{ 2 ** 64 }}", "does not fit 64 bits")]
    [InlineData("{{ 9223372036854775808 }}", "does not fit 64 bits")]
    public void WorkIsBounded(string template, string expected)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        Stopwatch clock = Stopwatch.StartNew();

        ChatTemplateException error = Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(template, "t").Render([]));

        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Equal(1, error.Line);

        // The budget is 64 Mi characters; a node may allocate a multiple of the 8 that it costs.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 3L << 30);
        Assert.InRange(clock.Elapsed.TotalSeconds, 0, 20);
    }

    [Theory]
    [InlineData("(", ")")]
    [InlineData("[", "]")]
    [InlineData("-", "")]
    [InlineData("not ", "")]
    [InlineData("{1:", "}")]
    [InlineData("x(", ")")]
    [InlineData("x[", "]")]
    [InlineData("1 if 1 else ", "")]
    public void DeepExpressionsAreRefused(string open, string close)
    {
        string deep = string.Concat(Enumerable.Repeat(open, 50_000)) + "1" + string.Concat(Enumerable.Repeat(close, 50_000));

        Assert.Contains("nested deeper", Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ " + deep + " }}", "t")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{% if 1 %}")]
    [InlineData("{% for a in [1] %}")]
    [InlineData("{% set a %}")]
    public void DeepStatementsAreRefused(string open) =>
        Assert.Contains("nested deeper", Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse(string.Concat(Enumerable.Repeat(open, 10_000)), "t")).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("+ 1")]
    [InlineData("or 0")]
    [InlineData("| string")]
    [InlineData("[0]")]
    [InlineData("**1")]
    [InlineData(" if 1")]
    public void LongChainsAreRefused(string link) =>
        Assert.Contains("follow each other", Assert.Throws<ChatTemplateException>(() => ChatTemplate.Parse("{{ 1 " + string.Concat(Enumerable.Repeat(link + " ", 50_000)) + " }}", "t")).Message, StringComparison.Ordinal);

    [Fact]
    public void NestedChainsEndWithoutOverflow()
    {
        // As deep as the grammar allows: evaluated where the stack allows, refused where it does not.
        string text = "1";
        for (int i = 0; i < 25; i++)
        {
            text = "(" + text + string.Concat(Enumerable.Repeat("+1", 450)) + ")";
        }

        Exception? error = Record.Exception(() => ChatTemplate.Parse("{{ " + text + " }}", "t").Render([]));
        Assert.True(error is null or ChatTemplateException, error?.ToString());
    }

    [Fact]
    public void LongChatsAreCheap()
    {
        ChatTemplate template = ChatTemplate.Parse("{% for m in messages %}{{ '<' + m.role + '>' + m['content'] | trim + eos_token }}{% endfor %}", "t");
        ChatMessage[] messages = [.. Enumerable.Range(0, 2000).Select(i => new ChatMessage(i % 2 == 0 ? "user" : "assistant", new string('x', 5000)))];

        Assert.Equal(2000 * (5000 + 4) + (1000 * ("<user>".Length + "<assistant>".Length)), template.Render(messages, new ChatTemplateOptions { EosToken = "</s>" }).Length);
    }

    [Fact]
    public void ValuesThatATemplateCannotSeeAreRefused()
    {
        ChatTemplate template = ChatTemplate.Parse("{{ x }}", "t");
        Assert.Throws<ArgumentException>(() => template.Render([], With(new object())));
        Assert.Throws<ArgumentException>(() => template.Render([], With(JsonSerializer.Deserialize<JsonElement>(string.Concat(Enumerable.Repeat("[", 200)) + string.Concat(Enumerable.Repeat("]", 200)), new JsonSerializerOptions { MaxDepth = 300 }))));
        Assert.Equal("[1, 2.5, 'x', {'a': None}]", template.Render([], With(new object?[] { 1, 2.5f, "x", new Dictionary<string, object?> { ["a"] = null } })));

        static ChatTemplateOptions With(object? value) => new() { Variables = new Dictionary<string, object?> { ["x"] = value } };
    }

    [Fact]
    public async Task OneTemplateRendersOnManyThreads()
    {
        ChatTemplate template = ChatTemplate.Parse("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + m.content|int %}{% endfor %}{{ ns.n }}", "t");
        string[] texts = await Task.WhenAll(Enumerable.Range(0, 16).Select(n => Task.Run(() => template.Render([.. Enumerable.Repeat(new ChatMessage("user", $"{n}"), 100)]))));

        Assert.Equal(Enumerable.Range(0, 16).Select(n => $"{n * 100}"), texts);
    }
}
