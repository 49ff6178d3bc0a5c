namespace LongCat.ML.Checkpoints.Tests.Tokenization;

public sealed class NormalizationTests
{
    [Theory]
    [InlineData("e\u0301", "é")]
    [InlineData("\u212B", "\u00C5")]
    [InlineData("\u1E9B\u0323", "\u1E9B\u0323")]
    [InlineData("a\u0323\u0308\u0304", "ạ\u0308\u0304")]
    [InlineData("a\u0308\u0323", "ạ\u0308")]
    [InlineData("\u1100\u1161\u11A8", "각")]
    [InlineData("\uAC00\u11A8", "각")]
    [InlineData("\u0958", "\u0915\u093C")]
    [InlineData("\U0001D15E", "\U0001D157\U0001D165")]
    [InlineData("\U00011131\U00011127", "\U0001112E")]
    [InlineData("\u0344", "\u0308\u0301")]
    [InlineData("\uD800a\u0301", "\uD800á")]
    public void Form_C_follows_the_standard(string text, string expected) => Assert.Equal(expected, CanonicalNormalization.Compose(text));

    [Theory]
    [InlineData("ǖ", "u\u0308\u0304")]
    [InlineData("각", "\u1100\u1161\u11A8")]
    [InlineData("\uFB2C", "\u05E9\u05BC\u05C1")]
    public void Form_D_follows_the_standard(string text, string expected) => Assert.Equal(expected, CanonicalNormalization.Decompose(text));

    [Fact]
    public void Both_forms_are_stable_and_agree()
    {
        Random random = new(6);
        for (int round = 0; round < 1000; round++)
        {
            string text = SampleTokenizer.RandomText(random, random.Next(1, 60));
            string composed = CanonicalNormalization.Compose(text), decomposed = CanonicalNormalization.Decompose(text);
            Assert.Equal(composed, CanonicalNormalization.Compose(composed));
            Assert.Equal(decomposed, CanonicalNormalization.Decompose(decomposed));
            Assert.Equal(composed, CanonicalNormalization.Compose(decomposed));
            Assert.Equal(decomposed, CanonicalNormalization.Decompose(composed));
        }
    }

    [Fact]
    public void Chains_of_simple_normalizers_run_in_order()
    {
        HuggingFaceTokenizer tokenizer = SampleTokenizer.Json().With("normalizer", """
            {"type":"Sequence","normalizers":[{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Lowercase"},
             {"type":"Replace","pattern":{"String":"."},"content":"$0"},{"type":"Replace","pattern":{"Regex":"b+"},"content":"c"},{"type":"Prepend","prepend":"_"}]}
            """).Load();
        Assert.Equal("_a$0c", tokenizer.Normalizer!.Normalize("  A.BBB ".AsSpan()));
    }
}
