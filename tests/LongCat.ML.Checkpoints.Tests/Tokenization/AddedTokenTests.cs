namespace LongCat.ML.Checkpoints.Tests.Tokenization;

public sealed class AddedTokenTests
{
    [Theory]
    [InlineData("", "x<t>y <t> z", "x|<t>|y |<t>| z")]
    [InlineData(",\"lstrip\":true", "x  <t> y", "x|  <t>| y")]
    [InlineData(",\"rstrip\":true", "x <t>  y", "x |<t>  |y")]
    [InlineData(",\"lstrip\":true,\"rstrip\":true", " <t> <t> ", " <t> |<t> ")]
    [InlineData(",\"single_word\":true", "x<t> <t>_ <t>! <t>", "x<t> <t>_ |<t>|! |<t>")]
    public void Flags_are_honoured(string flags, string text, string expected)
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().With("added_tokens", $$"""[{"id":300,"content":"<t>","special":true{{flags}}}]""")
            .With("pre_tokenizer", """{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}""").Load();
        List<string> parts = [];
        foreach (var token in tokenizer.EncodeToTokens(text, out _))
        {
            string part = text[token.Offset];
            if (token.Id == 300 || parts.Count == 0 || parts[^1].Contains('\u0001'))
            {
                parts.Add(part + (token.Id == 300 ? "\u0001" : string.Empty));
            }
            else
            {
                parts[^1] += part;
            }
        }

        Assert.Equal(expected.Split('|'), parts.Select(part => part.TrimEnd('\u0001')));
    }

    [Fact]
    public void The_longest_of_those_that_start_together_wins()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json()
            .With("added_tokens", """[{"id":300,"content":"<a>","special":true},{"id":301,"content":"<a><b>","special":false,"normalized":false},{"id":302,"content":"<b>","special":true}]""").Load();
        Assert.Equal([301, 302, 300], tokenizer.Encode("<a><b><b><a>"));
        Assert.Equal("<a><b>", tokenizer.Decode([301, 302, 300], skipSpecialTokens: true));
        Assert.Equal(new Dictionary<string, int> { ["<a>"] = 300, ["<b>"] = 302 }, tokenizer.SpecialTokens);
        Assert.Equal((303, 301, "<b>", (string?)null, (int?)null), (tokenizer.VocabularySize, tokenizer.TokenToId("<a><b>"), tokenizer.IdToToken(302), tokenizer.IdToToken(280), tokenizer.TokenToId("?!")));
    }

    [Fact]
    public void Normalized_tokens_are_found_in_normalized_text_and_others_before()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().With("normalizer", """{"type":"Lowercase"}""")
            .With("added_tokens", """[{"id":300,"content":"Caf\u00e9","normalized":true},{"id":301,"content":"BAR","normalized":false}]""").Load();
        Assert.Equal([300, 301, .. "bar".Select(c => (int)c)], tokenizer.Encode("CAFÉBARbar"));
        Assert.Equal("CaféBARbar", tokenizer.Decode(tokenizer.Encode("CAFÉBARbar")));
    }

    [Fact]
    public void The_post_processor_puts_its_tokens_around_unless_told_not_to()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().With("added_tokens", """[{"id":300,"content":"<s>","special":true},{"id":301,"content":"</s>","special":true}]""")
            .With("post_processor", """
                {"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing",
                 "single":[{"SpecialToken":{"id":"B","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"E","type_id":0}}],
                 "special_tokens":{"B":{"id":"B","ids":[300],"tokens":["<s>"]},"E":{"id":"E","ids":[301],"tokens":["</s>"]}}}]}
                """).Load();
        Assert.Equal([300, 'a', 301], tokenizer.Encode("a"));
        Assert.Equal(['a'], tokenizer.Encode("a", addSpecialTokens: false));
        Assert.Equal([300, 301], tokenizer.EncodeToIds(""));
        Assert.Equal(3, tokenizer.CountTokens("a"));
    }
}
