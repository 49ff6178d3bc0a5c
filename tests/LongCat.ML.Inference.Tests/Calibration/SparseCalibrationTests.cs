using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Calibration;
using LongCat.ML.TestShared;

namespace LongCat.ML.Inference.Tests.Calibration;

/// <summary>What is measured for sparse verification, and the file that keeps it.</summary>
public sealed class SparseCalibrationTests
{
    private static readonly SparseCalibration s_calibration = new()
    {
        ContentHash = "abc",
        Tokens = 1000,
        Choices = 7,
        Anchors = [0, 2],
        AnchorThreshold = 0.7,
        Similarity = [1, 0.75, 0.25, 0.875],
        ExpertShares = [[0.1f, 0.3f], [0.2f, 0.4f]],
        Thresholds = [0.01f, 0.1f],
        Activity = [new ChannelActivity("mlp", [0.25, 0.5])],
    };

    [Fact]
    public void An_attention_reuses_the_blocks_of_its_anchor_while_they_are_similar()
    {
        // Attention 1 shares 3 of 4 blocks with 0, attention 2 one of 7, attention 4 all with 2; attention 3 cannot choose.
        Dictionary<int, uint[]> choice = new() { [0] = [0b1111, 0], [1] = [0b0111, 0], [2] = [0b1000, 0b111], [4] = [0b1000, 0b111] };
        (IReadOnlyList<int> anchors, IReadOnlyList<double> similarity) = AnchorChoice.Of(5, [choice], 0.7);
        Assert.Equal([0, 2], anchors);
        Assert.Equal([1, 0.75, 1 / 7.0, 1, 1], similarity);

        // A stricter threshold; attention 2 is then compared with 1, of which it has nothing.
        (anchors, similarity) = AnchorChoice.Of(5, [choice], 0.8);
        Assert.Equal([0, 1, 2], anchors);
        Assert.Equal([1, 0.75, 0, 1, 1], similarity);

        // The mean over choices: (0.75 + 0.25) / 2 below 0.7.
        Dictionary<int, uint[]> other = new() { [0] = [0b1111, 0], [1] = [0b0001, 0], [2] = [0b1000, 0b111], [4] = [0b1000, 0b111] };
        Assert.Equal([0, 1, 2], AnchorChoice.Of(5, [choice, other], 0.7).Anchors);
        Assert.Equal(0.5, AnchorChoice.Of(5, [choice, other], 0.7).Similarity[1]);
    }

    [Fact]
    public void Without_choices_or_where_the_first_attentions_cannot_choose_the_first_that_can_is_an_anchor()
    {
        Assert.Equal([0, 1, 2], AnchorChoice.Of(3, [], 0.5).Anchors);
        Dictionary<int, uint[]> choice = new() { [1] = [0b11], [2] = [0b11] };
        Assert.Equal([0, 1], AnchorChoice.Of(3, [choice], 0.5).Anchors);
        Assert.Equal(1, AnchorChoice.Jaccard([0, 0], [0, 0]));
    }

    [Fact]
    public void Medians_are_those_of_the_shares_of_the_least_experts()
    {
        ShareMedians medians = new(topK: 4);

        // Sorted 1 2 3 4 of 10: 0.1, 0.3, 0.6; the identity expert's 0 does not count: 1 1 2 of 4: 0.25, 0.5; one expert alone says nothing.
        Assert.True(medians.Add([4, 3, 2, 1]));
        Assert.True(medians.Add([1, 0, 2, 1]));
        Assert.True(medians.Add([0, 5, 0, 0]));
        Assert.True(medians.Add([8, 1, 1, 10]));
        float[] found = medians.Medians();
        Assert.Equal(3, found.Length);
        Assert.Equal(0.1, found[0], 1e-4);
        Assert.Equal(0.3, found[1], 1e-4);
        Assert.Equal(0.5, found[2], 1e-4);
        Assert.False(medians.Add([float.NaN, 1, 1, 1]));
        Assert.False(medians.Add([-1, 1, 1, 1]));
        Assert.Equal(found, medians.Medians());
        Assert.Equal([0, 0], new ShareMedians(3).Medians());
    }

    [Fact]
    public void The_file_gives_back_what_was_written_and_is_whole_or_as_it_was()
    {
        using TemporaryFolder folder = new();
        string path = folder[SparseCalibration.FileName];
        s_calibration.Save(path);
        SparseCalibration read = SparseCalibration.Load(path);
        Assert.Equal(s_calibration.ContentHash, read.ContentHash);
        Assert.Equal(s_calibration.Anchors, read.Anchors);
        Assert.Equal(s_calibration.Similarity, read.Similarity);
        Assert.Equal(s_calibration.ExpertShares, read.ExpertShares);
        Assert.Equal(s_calibration.Activity[0].Below, read.Activity[0].Below);
        Assert.Equal((s_calibration.Tokens, s_calibration.Choices, s_calibration.AnchorThreshold), (read.Tokens, read.Choices, read.AnchorThreshold));

        byte[] before = File.ReadAllBytes(path);
        Assert.Throws<ArgumentException>(() => (s_calibration with { Anchors = [1] }).Save(path));
        Assert.Equal(before, File.ReadAllBytes(path));
        Assert.Equal(path, Assert.Single(Directory.EnumerateFiles(Path.GetDirectoryName(path)!)));
    }

    [Theory]
    [InlineData("\"anchors\": [\n    0,\n    2\n  ]", "\"anchors\": [0, 9]", "the anchors [0, 9]")]
    [InlineData("\"anchors\": [\n    0,\n    2\n  ]", "\"anchors\": [2]", "the anchors [2]")]
    [InlineData("\"anchors\": [\n    0,\n    2\n  ]", "\"anchors\": null", "anchors")]
    [InlineData("0.875", "1.5", "the similarities")]
    [InlineData("0.875", "\"NaN\"", "similarity")]
    [InlineData("\"tokens\": 1000", "\"tokens\": -1", "-1 tokens")]
    [InlineData("\"tokens\": 1000", "\"tokens\": 1, \"words\": 2", "words")]
    [InlineData("\"tokens\": 1000,", "", "tokens")]
    [InlineData("0.25,\n        0.5", "0.25", "a network's activity")]
    [InlineData("{", "[", "no calibration")]
    public void A_damaged_file_says_what_is_wrong(string old, string damaged, string text)
    {
        using TemporaryFolder folder = new();
        string path = folder[SparseCalibration.FileName];
        s_calibration.Save(path);
        string content = File.ReadAllText(path).ReplaceLineEndings("\n");
        Assert.Contains(old, content, StringComparison.Ordinal);
        File.WriteAllText(path, content.Replace(old, damaged, StringComparison.Ordinal));
        CheckpointException error = Assert.Throws<CheckpointException>(() => SparseCalibration.Load(path));
        Assert.Contains(text, error.Message, StringComparison.Ordinal);
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_and_options_out_of_range_are_named()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("does not exist", Assert.Throws<CheckpointException>(() => SparseCalibration.Load(folder["nowhere.json"])).Message, StringComparison.Ordinal);
        Refused(new() { AnchorThreshold = double.NaN }, "AnchorThreshold is NaN");
        Refused(new() { Thresholds = [0.1f, 0.1f] }, "Thresholds is [0.1, 0.1]");
        Refused(new() { Stride = 1 }, "Stride is 1");
        Refused(new() { Attention = new() { BlockSize = 0 } }, "BlockSize is 0");

        void Refused(SparseCalibrationOptions options, string text) =>
            Assert.Contains(text, Assert.ThrowsAny<ArgumentException>(() => SparseCalibrator.Measure(folder[""], [[1]], options)).Message, StringComparison.Ordinal);
    }
}
