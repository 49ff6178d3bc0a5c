using LongCat.ML.Inference.Text;

namespace LongCat.ML.Inference.Tests;

public sealed class StopStringMatcherTests
{
    [Theory]
    [InlineData("one STOP two", "STOP", "one ", true)]
    [InlineData("one STO", "STOP", "one STO", false)]
    [InlineData("ababac", "abac", "ab", true)]
    [InlineData("", "x", "", false)]
    [InlineData("aaab", "aab", "a", true)]
    [InlineData("line\n\nnext", "\n\n", "line", true)]
    public void The_text_is_the_same_however_it_is_cut(string text, string stop, string expected, bool matched)
    {
        for (int size = 1; size <= Math.Max(1, text.Length); size++)
        {
            StopStringMatcher matcher = new([stop, "never"]);
            string output = "";
            for (int i = 0; i < text.Length; i += size)
            {
                output += matcher.Append(text[i..Math.Min(text.Length, i + size)]);
                Assert.StartsWith(output, expected, StringComparison.Ordinal);
            }

            output += matcher.Flush();
            Assert.Equal(expected, output);
            Assert.Equal(matched, matcher.Matched);
        }
    }

    [Fact]
    public void Text_that_cannot_begin_a_stop_string_is_given_out_at_once()
    {
        StopStringMatcher matcher = new(["</s>", "END"]);
        Assert.Equal("abc", matcher.Append("abc"));
        Assert.Equal("x", matcher.Append("x<"));
        Assert.Equal("<b", matcher.Append("b"));
        Assert.Equal("", matcher.Append("E"));
        Assert.Equal("EN.", matcher.Append("N."));
    }
}
