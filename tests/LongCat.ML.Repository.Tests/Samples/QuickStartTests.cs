using System.Globalization;
using System.Text.RegularExpressions;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

/// <summary>The quick start on fewer rows, from the checkpoint in the repository.</summary>
public sealed partial class QuickStartTests(ITestOutputHelper output)
{
    /// <summary>With a third of the steps: enough to learn the form of an answer and the frequent groups.</summary>
    [Fact]
    public async Task The_quick_start_scores_held_out_rows_and_the_loaded_pipeline_gives_the_same()
    {
        string printed = await SampleProcess.RunAsync(output, "QuickStart", "40", "50");
        Assert.Contains("20 of 20 rows are equal", printed, StringComparison.Ordinal);

        Match accuracy = Accuracy().Match(printed);
        Assert.True(accuracy.Success, "no line with accuracy and majority baseline");
        double model = double.Parse(accuracy.Groups[1].Value, CultureInfo.InvariantCulture);
        double majority = double.Parse(accuracy.Groups[2].Value, CultureInfo.InvariantCulture);
        Assert.True(model > majority, $"accuracy {model} % is no better than always naming the largest group, {majority} %");

        double before = Share(printed, "before"), after = Share(printed, "after fine-tuning"), quantized = Share(printed, @"after quantization \(W4A8\)");
        Assert.True(after > before && after > majority, $"{before} % before, {after} % after fine-tuning");
        Assert.True(Math.Abs(quantized - after) <= 15, $"{after} % became {quantized} % in 4 bits");
    }

    private static double Share(string printed, string line)
    {
        Match match = Regex.Match(printed, $@"^ +{line} +([0-9.]+) ?%", RegexOptions.Multiline);
        Assert.True(match.Success, $"no line '{line}'");
        return double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"accuracy ([0-9.]+) ?%; always '[^']+': ([0-9.]+) ?%")]
    private static partial Regex Accuracy();
}
