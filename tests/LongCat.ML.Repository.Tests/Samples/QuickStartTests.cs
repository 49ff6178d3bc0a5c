using System.Globalization;
using System.Text.RegularExpressions;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

/// <summary>The quick start on fewer rows, from the checkpoint in the repository.</summary>
public sealed partial class QuickStartTests(ITestOutputHelper output)
{
    [Fact]
    public async Task The_quick_start_scores_held_out_rows_and_the_loaded_pipeline_gives_the_same()
    {
        string printed = await SampleProcess.RunAsync(output, "QuickStart", "40");
        Assert.Contains("20 of 20 rows are equal", printed, StringComparison.Ordinal);

        Match accuracy = Accuracy().Match(printed);
        Assert.True(accuracy.Success, "no line with accuracy and majority baseline");
        double model = double.Parse(accuracy.Groups[1].Value, CultureInfo.InvariantCulture);
        double majority = double.Parse(accuracy.Groups[2].Value, CultureInfo.InvariantCulture);
        Assert.True(model > majority, $"accuracy {model} % is no better than always naming the largest group, {majority} %");
    }

    [GeneratedRegex(@"accuracy ([0-9.]+) ?%; always '[^']+': ([0-9.]+) ?%")]
    private static partial Regex Accuracy();
}
