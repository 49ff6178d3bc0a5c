using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;
using LongCat.ML.Training.FineTuning;

namespace LongCat.ML.Training.Tests.FineTuning;

/// <summary>With a tokenizer whose token 16 + b is the byte b, so that expected ids can be written as texts.</summary>
public sealed class ExampleEncoderTests : IDisposable
{
    private const string Turns = "{% for m in messages %}{{ '<' + m.role + '>' + m.content }}{% if m.role == 'assistant' %}.{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    private readonly TemporaryFolder _folder = new();
    private readonly HuggingFaceTokenizer _tokenizer;
    private readonly ModelConfig _config;

    public ExampleEncoderTests()
    {
        RandomCheckpoint.Write(_folder.Path, new RandomCheckpointOptions { Tokenizer = true });
        _tokenizer = HuggingFaceTokenizer.Load(_folder.Path);
        _config = ModelConfig.Load(_folder.Path);
    }

    private int End => _config.EosTokenIds[0];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_text_is_learned_whole_and_ends()
    {
        var example = Encoder().Text("abc");
        Assert.Equal([_config.BosTokenId!.Value, .. Bytes("abc"), End], example.Ids);
        Assert.Equal(4, example.TrainableTokens);
        Assert.Equal(0, Encoder().Text("").TrainableTokens);
    }

    [Fact]
    public void A_completion_is_learned_with_the_end_and_its_prompt_is_not()
    {
        var example = Encoder().Completion("ab", " cd");
        Assert.Equal([_config.BosTokenId!.Value, .. Bytes("ab cd"), End], example.Ids);
        Assert.Equal(" cd", Learned(example));
        Assert.True(example.Trainable[^1]);
        Assert.Equal("ab cd", Learned(new ExampleEncoder(_tokenizer, _config) { LossOnPrompt = true }.Completion("ab", " cd")));
        Assert.Equal(0, Encoder().Completion("ab", "").TrainableTokens);
        Assert.Equal("cd", Learned(Encoder().Completion("", "cd")));
    }

    [Fact]
    public void A_label_follows_the_prompt_that_classification_uses()
    {
        var example = Encoder().Label("text", " good");
        Assert.Equal("Text: text\nLabel: good", Text(example.Ids));
        Assert.Equal(" good", Learned(example));
        Assert.Equal("[text] => good", Text(Encoder().Label("text", " good", "[{text}] =>").Ids));
        Assert.Throws<ArgumentException>(() => Encoder().Label("text", " good", "no placeholder"));
    }

    [Fact]
    public void The_assistants_turns_of_a_chat_are_learned_in_one_example()
    {
        var example = Assert.Single(Encoder(Turns).Chat([new("user", "a"), new("assistant", "b"), new("user", "c"), new("assistant", "d")]));
        Assert.Equal("<user>a<assistant>b.<user>c<assistant>d.", Text(example.Ids));
        Assert.Equal("b.d.", Learned(example));
        Assert.Equal(End, example.Ids[^1]);
        Assert.Equal(0, Assert.Single(Encoder(Turns).Chat([new("user", "a")])).TrainableTokens);
    }

    [Fact]
    public void A_template_that_renders_earlier_turns_otherwise_gives_an_example_per_turn()
    {
        // Only the last assistant's turn has its exclamation mark.
        const string Changing = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' and loop.last %}!{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        var examples = Encoder(Changing).Chat([new("user", "a"), new("assistant", "b"), new("user", "c"), new("assistant", "d")]);
        Assert.Equal(["<user>a<assistant>b!", "<user>a<assistant>b<user>c<assistant>d!"], examples.Select(e => Text(e.Ids)));
        Assert.Equal(["b!", "d!"], examples.Select(Learned));
    }

    [Fact]
    public void A_chat_that_cannot_be_divided_is_refused()
    {
        Assert.Contains("has no chat template", Assert.Throws<FineTuningException>(() => Encoder().Chat([new("user", "a")])).Message, StringComparison.Ordinal);
        const string Counted = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}";
        var e = Assert.Throws<FineTuningException>(() => Encoder(Counted).Chat([new("user", "a"), new("assistant", "b")]));
        Assert.Contains("messages 1..2 does not begin with the prompt", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Truncation_keeps_the_completion_and_the_end_of_its_prompt()
    {
        var example = Encoder().Completion("abcdefgh", " xy");
        var cut = example.Truncate(8);
        Assert.Equal("fgh xy", Text(cut.Ids));
        Assert.Equal(_config.BosTokenId!.Value, cut.Ids[0]);
        Assert.Equal(" xy", Learned(cut));
        Assert.Equal(4, cut.TrainableTokens);
        Assert.Equal("h xy"[..3], Text(example.Truncate(4).Ids));
        Assert.Same(example, example.Truncate(example.Ids.Length));
        Assert.Equal("abc", Text(Encoder().Text("abcdefgh").Truncate(4).Ids));
    }

    private ExampleEncoder Encoder(string? template = null) => new(_tokenizer, _config, template is null ? null : ChatTemplate.Parse(template, "test"));

    private static int[] Bytes(string text) => [.. text.Select(c => 16 + c)];

    private static string Text(IEnumerable<int> ids) => string.Concat(ids.Where(id => id >= 16).Select(id => (char)(id - 16)));

    private static string Learned(TrainingExample example) => Text(example.Ids.Where((_, i) => example.Trainable[i]));
}
