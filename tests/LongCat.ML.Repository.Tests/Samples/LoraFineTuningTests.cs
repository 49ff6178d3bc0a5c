using System.Globalization;
using System.Text.RegularExpressions;
using Xunit.Abstractions;

namespace LongCat.ML.RepositoryTests.Samples;

/// <summary>The long sample on fewer rows and steps.</summary>
public sealed partial class LoraFineTuningTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Both_tasks_are_learned_and_every_form_of_the_result_works()
    {
        string printed = await SampleProcess.RunAsync(output, "LoraFineTuning", "400", "40");
        Match tuned = Tuned().Match(printed), loaded = Loaded().Match(printed);
        Assert.True(tuned.Success && loaded.Success, "no line with accuracy and majority baseline, or none of the loaded pipeline");
        Assert.True(Number(tuned, 1) > Number(tuned, 2), $"accuracy {tuned.Groups[1]} % is no better than always naming the largest group, {tuned.Groups[2]} %");
        Assert.Equal(tuned.Groups[1].Value, loaded.Groups[1].Value);
        MatchCollection losses = Losses().Matches(printed);
        Assert.Equal(2, losses.Count);
        Assert.All(losses, loss => Assert.True(Number(loss, 2) < Number(loss, 1), loss.Value));
        Assert.Contains("adapter_config.json, adapter_model.safetensors", printed, StringComparison.Ordinal);
        Assert.Contains("merged checkpoint: ", printed, StringComparison.Ordinal);
        Assert.Contains("W4A8: ", printed, StringComparison.Ordinal);
    }

    private static double Number(Match match, int group) => double.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"never saw: ([0-9.]+) ?%; always '[^']+': ([0-9.]+) ?%")]
    private static partial Regex Tuned();

    [GeneratedRegex(@"saved and loaded .*: accuracy ([0-9.]+) ?%")]
    private static partial Regex Loaded();

    [GeneratedRegex(@"validation loss ([0-9.]+) before, ([0-9.]+) after")]
    private static partial Regex Losses();
}
