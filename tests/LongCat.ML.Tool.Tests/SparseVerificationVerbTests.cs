using System.CommandLine;
using System.Text.Json;
using LongCat.ML.CommandLine;
using LongCat.ML.Inference;
using LongCat.ML.Tool.Commands;

namespace LongCat.ML.ToolTests;

/// <summary>Sparse verification from the command line: the option's text, what it refuses, and a model that is exported, calibrated and run with it.</summary>
public sealed class SparseVerificationVerbTests(ExportedFolder folder) : IClassFixture<ExportedFolder>
{
    [Fact]
    public void The_text_says_every_value()
    {
        SpeculativeOptions speculation = new() { MaxDraftTokens = 3 };
        SpeculativeOptions found = SparseVerifyArgument.Apply(speculation, "attention=0.125,l0=2048,block=32,sink=2,local=3,tau=0.05,experts=2,refresh=7")!;
        Assert.Equal(
            speculation with
            {
                Verification = new SparseVerification
                {
                    Attention = new AttentionBudget { Rho = 0.125, L0 = 2048, BlockSize = 32, SinkBlocks = 2, LocalBlocks = 3 },
                    FfnThreshold = 0.05f,
                    MaxSkippedExperts = 2,
                    RefreshEvery = 7,
                },
            },
            found);
        Assert.Equal(new SparseVerification { Attention = new AttentionBudget { Rho = 0.5 } }, SparseVerifyArgument.Apply(speculation, "attention=0.5")!.Verification);
        Assert.Null(SparseVerifyArgument.Apply(speculation, "tau=0.1")!.Verification!.Attention);
        Assert.Same(speculation, SparseVerifyArgument.Apply(speculation, null));
        Assert.Contains("needs --speculate", Assert.Throws<UsageException>(() => SparseVerifyArgument.Apply(null, "tau=0.1")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("attention", "--sparse-verify has 'attention', expected attention=…")]
    [InlineData("attention=1.5", "attention=1.5, expected 0 to 1")]
    [InlineData("attention=x", "attention=x, expected 0 to 1")]
    [InlineData("attention=NaN", "attention=NaN, expected 0 to 1")]
    [InlineData("tau=-1", "tau=-1, expected a finite magnitude")]
    [InlineData("tau=1e39", "tau=1e39, expected a finite magnitude")]
    [InlineData("experts=1.5", "experts=1.5, expected 0 or more")]
    [InlineData("refresh=-1", "refresh=-1, expected 0 (never)")]
    [InlineData("tau=0.1,tau=0.2", "has tau twice")]
    [InlineData("l0=100", "l0 and no attention")]
    [InlineData("layers=3", "has 'layers=3'")]
    [InlineData("tau=0.1,", "has ''")]
    public void A_wrong_text_is_wrong_usage(string value, string text)
    {
        Option<string?> option = SparseVerifyArgument.Create();
        ParseResult parsed = new RootCommand { option }.Parse(["--sparse-verify", value]);
        Assert.Contains(text, Assert.Single(parsed.Errors).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_is_exported_calibrated_and_verified_sparsely()
    {
        string[] generate = ["--prompt", "abcabcabcabcabcabc", "--max-new-tokens", "24", "--ignore-eos", "--json", "--speculate", folder.Onnx];
        ToolProcess refused = ToolProcess.LongCat(["generate", folder.Onnx, .. generate, "--sparse-verify", "tau=0.1"]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("Export the checkpoint with --sparse-verification", refused.Error, StringComparison.Ordinal);

        string sparse = folder.File("sparse-onnx"), rows = folder.File("rows.jsonl");
        ToolProcess export = ToolProcess.LongCat("export", folder.Checkpoint, "--output", sparse, "--sparse-verification");
        Assert.True(export.ExitCode == 0, export.Error);
        File.WriteAllText(rows, "{\"text\": \"abc def abc def\"}\n{\"body\": 1}\n{\"text\": \"hello hello\"}\n");
        ToolProcess calibrate = ToolProcess.LongCat("calibrate-sparse", sparse, "--input", rows, "--block", "16");
        Assert.True(calibrate.ExitCode == 0, calibrate.Error);
        Assert.Contains("note: 1 rows were passed over; the first: ", calibrate.Error, StringComparison.Ordinal);
        Assert.Contains(SparseCalibration.FileName, calibrate.Output, StringComparison.Ordinal);
        SparseCalibration calibration = SparseCalibration.Load(Path.Combine(sparse, SparseCalibration.FileName));
        Assert.True(calibration.Tokens > 4 && calibration.ExpertShares.Count > 0);

        ToolProcess run = ToolProcess.LongCat(["generate", sparse, .. generate, "--sparse-verify", "attention=0.25,l0=8,block=16,tau=0.05,experts=1,refresh=4"]);
        Assert.True(run.ExitCode == 0, run.Error);
        using JsonDocument document = JsonDocument.Parse(run.Output);
        JsonElement statistics = document.RootElement.GetProperty("speculation");
        Assert.False(statistics.GetProperty("is_lossless").GetBoolean());
        Assert.True(statistics.GetProperty("sparse_rounds").GetInt64() > 0);
        Assert.True(statistics.GetProperty("refreshes").GetInt64() > 0);
        Assert.Equal(24, document.RootElement.GetProperty("ids").GetArrayLength());

        ToolProcess nowhere = ToolProcess.LongCat("calibrate-sparse", folder.Onnx, "--input", rows);
        Assert.Equal(1, nowhere.ExitCode);
        Assert.Contains("--sparse-verification", nowhere.Error, StringComparison.Ordinal);
        File.WriteAllText(rows, "{\"body\": 1}\n");
        Assert.Contains("no row has a text", ToolProcess.LongCat("calibrate-sparse", sparse, "--input", rows).Error, StringComparison.Ordinal);
    }
}
