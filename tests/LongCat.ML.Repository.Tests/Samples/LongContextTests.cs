using System.Globalization;
using System.Text.RegularExpressions;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

/// <summary>The sample on a shorter prompt and few steps.</summary>
public sealed partial class LongContextTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Half_of_the_attentions_need_a_window_of_pages_only()
    {
        string printed = await SampleProcess.RunAsync(output, "LongContext", "6000", "2");
        Assert.Contains("context: 2048 -> 6032 tokens by YaRN, factor 2.95", printed, StringComparison.Ordinal);
        Assert.Equal(2, Chosen().Count(printed));
        Match[] lines = [.. Pages().Matches(printed).Cast<Match>()];
        Assert.Equal(2, lines.Length);

        // 6,000 tokens and 31 of 32 new ones in pages of 16; a window of 1,024 tokens and the pages of one step of 512.
        Assert.Equal((377, 0), (Number(lines[0], 1), Number(lines[0], 2)));
        Assert.Equal(377, Number(lines[1], 1));
        Assert.InRange(Number(lines[1], 2), 64, 64 + 33);
        Assert.InRange(Bytes(lines[1]) / Bytes(lines[0]), 0.5, 0.65);

        static int Number(Match match, int group) => int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);
        static double Bytes(Match match) => double.Parse(match.Groups[3].Value, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"attention \d  model\.layers\.\d\.self_attn\.\d +α -?[0-9.]+  streaming")]
    private static partial Regex Chosen();

    [GeneratedRegex(@"pages (\d+) full \+ (\d+) streaming \(\d+ given back\), caches ([0-9.]+) MB")]
    private static partial Regex Pages();
}
