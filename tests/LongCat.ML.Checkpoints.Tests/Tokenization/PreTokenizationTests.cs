namespace LongCat.ML.Checkpoints.Tests.Tokenization;

public sealed class PreTokenizationTests
{
    [Theory]
    [InlineData("Isolated", false, "the|-|final|-|-|countdown")]
    [InlineData("Removed", false, "the|final|countdown")]
    [InlineData("MergedWithPrevious", false, "the-|final-|-|countdown")]
    [InlineData("MergedWithNext", false, "the|-final|-|-countdown")]
    [InlineData("Contiguous", false, "the|-|final|--|countdown")]
    [InlineData("Removed", true, "-|-|-")]
    [InlineData("MergedWithNext", true, "the-|final-|-|countdown")]
    public void Every_behavior_splits_as_documented(string behavior, bool invert, string expected) =>
        Assert.Equal(expected.Split('|'), SampleTokenizer.Json().WithSplit("-", behavior, invert).Load().Pieces("the-final--countdown"));

    [Theory]
    [InlineData("Digits", "individual_digits", "true", "ab1 22", "ab|1| |2|2")]
    [InlineData("Digits", "individual_digits", "false", "ab1 22", "ab|1| |22")]
    [InlineData("WhitespaceSplit", "x", "0", "a, b\tc", "a,|b|c")]
    [InlineData("Whitespace", "x", "0", "a, b_é!", "a|,|b_é|!")]
    [InlineData("Punctuation", "behavior", "\"Isolated\"", "a,$b", "a|,|$|b")]
    public void Simple_stages_split(string type, string key, string value, string text, string expected)
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().With("pre_tokenizer",
            $$"""{"type":"Sequence","pretokenizers":[{"type":"{{type}}","{{key}}":{{value}}},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}""").Load();
        Assert.Equal(expected.Split('|'), tokenizer.Pieces(text));
    }

    [Fact]
    public void Characters_above_the_basic_plane_count_as_letters_digits_and_symbols()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().WithSplit(SampleTokenizer.Qwen2Pattern).Load();
        Assert.Equal(["𝔘𝔫ab", " 𝔠", "𝟙", "𝟚", " 😀😂", "x"], tokenizer.Pieces("𝔘𝔫ab 𝔠𝟙𝟚 😀😂x"));
    }

    [Fact]
    public void The_prefix_space_is_encoded_but_covers_no_text()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json("Ġ a").With("pre_tokenizer", """{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}""").Load();
        Assert.Equal(tokenizer.Encode(" ab"), tokenizer.Encode("ab"));
        Assert.Equal([0..1, 1..2], tokenizer.EncodeToTokens("ab", out _).Select(token => token.Offset));
        Assert.Equal([' ', '\n'], [.. tokenizer.Encode("\n")]);
        Assert.Equal([0..0, 0..1], tokenizer.EncodeToTokens("\n", out _).Select(token => token.Offset));
        Assert.Empty(tokenizer.Encode(""));
    }

    [Theory]
    [InlineData(@"[^\r\n\p{L}\p{N}]?+\p{L}++", @"(?>[^\r\n\p{L}\p{N}]?)(?>\p{L}+)")]
    [InlineData(@"(?:ab)*+c", @"(?>(?:ab)*)c")]
    [InlineData(@"(?i:'s|'k)s", @"(?i:'[sſ]|'k)s")]
    [InlineData(@"\w[\w-]", @"[\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}][\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}-]")]
    [InlineData(@"[\x{4E00}-\x{10FFFF}]{,2}", @"[\u4E00-\uFFFF]{0,2}")]
    [InlineData(@"\p{^L}\pN[[:digit:]]\h", @"\P{L}\p{N}[\p{Nd}][0-9A-Fa-f]")]
    [InlineData(@"{x}(?P<n>a)", @"{x}(?<n>a)")]
    public void Patterns_are_translated(string pattern, string expected) => Assert.Equal(expected, RegexTranslator.Translate(pattern));

    [Theory]
    [InlineData(@"[\p{L}&&[^\p{Han}]]", "`&&`")]
    [InlineData(@"\p{Han}", "Han")]
    [InlineData(@"a{2}+", "counted repetition")]
    [InlineData(@"[a[bc]]", "class inside a class")]
    [InlineData(@"\X", @"\X")]
    [InlineData(@"(a", "")]
    [InlineData(@"a)", "closes nothing")]
    [InlineData(@"*a", "repeats nothing")]
    [InlineData(@"[a", "does not end")]
    [InlineData("a\\", "backslash")]
    [InlineData(@"(?m)a", "option group")]
    [InlineData("😀+", "U+FFFF")]
    public void Patterns_without_an_exact_counterpart_are_refused_by_name(string pattern, string named)
    {
        CheckpointException error = Assert.Throws<CheckpointException>(() => SampleTokenizer.Json().WithSplit(pattern).Load());
        Assert.Contains("pre_tokenizer.pretokenizers[0].pattern.Regex", error.Message, StringComparison.Ordinal);
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Contractions_match_in_either_case_and_with_the_long_s()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().WithSplit(SampleTokenizer.Qwen2Pattern).Load();
        Assert.Equal(["it", "'s", " HE", "'S", " he", "'ſ", " we", "'LL"], tokenizer.Pieces("it's HE'S he'ſ we'LL"));
    }

    [Fact]
    public void A_pattern_that_backtracks_without_end_is_stopped()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().WithSplit(@"(\p{L}+)+!").Load();
        CheckpointException error = Assert.Throws<CheckpointException>(() => tokenizer.Encode(new string('a', 100)));
        Assert.Contains("needs more than 5 s for one match", error.Message, StringComparison.Ordinal);
        Assert.Equal(3, tokenizer.Encode("aa!").Count);
    }
}
