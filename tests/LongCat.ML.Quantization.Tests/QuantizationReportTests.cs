using System.Text.Json;
using System.Xml.Linq;
using LongCat.ML.TestShared;

namespace LongCat.ML.Quantization.Tests;

public sealed class QuantizationReportTests
{
    private static readonly MatrixReport[] Matrices = [.. MakeMatrices()];

    [Fact]
    public void The_listing_has_options_totals_and_every_matrix_in_the_order_of_layers()
    {
        using TemporaryFolder folder = new();
        Save(folder["report"], Matrices);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["report"], QuantizationReport.JsonName)));
        JsonElement root = json.RootElement;
        Assert.Equal("Fptq", root.GetProperty("options").GetProperty("recipe").GetString());
        Assert.Equal(128, root.GetProperty("options").GetProperty("group_size").GetInt32());
        Assert.Equal(500, root.GetProperty("calibration").GetProperty("tokens").GetInt64());
        JsonElement totals = root.GetProperty("totals");
        Assert.Equal(Matrices.Length, totals.GetProperty("matrices").GetInt32());
        Assert.Equal(Matrices.Sum(matrix => (long)matrix.OutFeatures * matrix.InFeatures), totals.GetProperty("weights").GetInt64());
        Assert.Equal(Matrices.Average(matrix => matrix.RelativeError), totals.GetProperty("mean_relative_error").GetDouble(), 9);
        Assert.Equal(1, totals.GetProperty("without_calibration_rows").GetInt32());
        string[] names = [.. root.GetProperty("matrices").EnumerateArray().Select(matrix => matrix.GetProperty("name").GetString()!)];
        Assert.Equal("lm_head.weight", names[0]);
        Assert.True(Array.IndexOf(names, "model.layers.2.mlp.down_proj.weight") < Array.IndexOf(names, "model.layers.10.mlp.down_proj.weight"), string.Join('\n', names));
        Assert.Equal("dynamic: 190 >= v1 = 150", root.GetProperty("matrices").EnumerateArray().First(matrix => matrix.GetProperty("name").GetString()!.Contains("down_proj", StringComparison.Ordinal)).GetProperty("branch").GetString());
    }

    [Fact]
    public void The_picture_is_svg_that_shows_every_matrix_and_names_the_worst()
    {
        using TemporaryFolder folder = new();
        Save(folder["report"], Matrices);
        string picture = Path.Combine(folder["report"], QuantizationReport.PictureName);
        if (Environment.GetEnvironmentVariable("LONGCAT_KEEP_PICTURE") is string keep)
        {
            File.Copy(picture, keep, overwrite: true);
        }

        XDocument svg = XDocument.Load(picture);
        XElement[] circles = [.. svg.Descendants().Where(element => element.Name.LocalName == "circle")];
        string[] kinds = [.. Matrices.Select(matrix => MatrixPlace.Of(matrix.Name).Kind).Distinct()];
        // A dot in both plots for each matrix, one for a layer's experts of a kind, and the legend.
        int dots = Matrices.Count(matrix => !matrix.Name.Contains("experts", StringComparison.Ordinal)) + Matrices.Where(matrix => matrix.Name.Contains("experts", StringComparison.Ordinal)).Select(matrix => MatrixPlace.Of(matrix.Name)).Distinct().Count();
        Assert.Equal((2 * dots) + kinds.Length, circles.Length);
        Assert.All(circles, circle => Assert.InRange((double)circle.Attribute("cy")!, 0, (double)svg.Root!.Attribute("height")!));
        string text = string.Join('\n', svg.Descendants().Where(element => element.Name.LocalName == "text").Select(element => element.Value));
        Assert.All(kinds, kind => Assert.Contains(kind, text, StringComparison.Ordinal));
        Assert.Contains(Matrices.MaxBy(matrix => matrix.RelativeError)!.Name, text, StringComparison.Ordinal);
        Assert.Contains("500 random tokens", text, StringComparison.Ordinal);
        foreach (string colour in new[] { "#56b4e9", "#009e73", "#e69f00", "#bbbbbb" })
        {
            // Each rule is in the strip, not in its legend alone.
            Assert.True(svg.Descendants().Count(element => element.Name.LocalName == "rect" && (string?)element.Attribute("fill") == colour) > 1, colour);
        }
    }

    [Fact]
    public void The_bytes_depend_on_neither_order_nor_thread()
    {
        using TemporaryFolder folder = new();
        Save(folder["one"], Matrices);
        Save(folder["two"], [.. Matrices.Reverse(), Matrices[3]]);
        foreach (string name in new[] { QuantizationReport.JsonName, QuantizationReport.PictureName })
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(folder["one"], name)), File.ReadAllBytes(Path.Combine(folder["two"], name)));
        }
    }

    [Fact]
    public void An_empty_report_is_written_too_and_a_folder_that_is_missing_is_an_error()
    {
        using TemporaryFolder folder = new();
        Save(folder["report"], []);
        Assert.NotNull(XDocument.Load(Path.Combine(folder["report"], QuantizationReport.PictureName)).Root);
        Assert.Throws<DirectoryNotFoundException>(() => new QuantizationReport(new QuantizationOptions()).Save(folder["absent"]));
    }

    private static void Save(string folder, MatrixReport[] matrices)
    {
        Directory.CreateDirectory(folder);
        QuantizationReport report = new(new QuantizationOptions { Recipe = QuantizationRecipe.Fptq }) { CalibrationTokens = 500, DataFree = true };
        Parallel.ForEach(matrices, report.Add);
        report.Save(folder);
    }

    private static IEnumerable<MatrixReport> MakeMatrices()
    {
        Random random = new(4);
        for (int layer = 0; layer < 12; layer++)
        {
            foreach ((string name, string branch) in new[]
            {
                ("self_attn.q_proj", "static: v0 < 44 < v1, equalized to 9"), ("self_attn.o_proj", "static: 9 <= v0 = 15"), ("mlp.down_proj", "dynamic: 190 >= v1 = 150"),
            })
            {
                yield return Matrix($"model.layers.{layer}.{name}.weight", branch, layer, random);
            }

            for (int expert = 0; expert < 5 && layer > 8; expert++)
            {
                yield return Matrix($"model.layers.{layer}.mlp.experts.{expert}.gate_proj.weight", "dynamic: mixtures quantize their experts' rows token by token", layer, random);
            }
        }

        yield return Matrix("lm_head.weight", "dynamic: no calibration row reached the layer", 3, random) with { CalibrationRows = 0 };
    }

    private static MatrixReport Matrix(string name, string branch, int layer, Random random) => new()
    {
        Name = name,
        Site = "site",
        Scheme = "nearest",
        OutFeatures = 256,
        InFeatures = 512,
        GroupSize = 128,
        Activation = branch.Split(':')[0],
        Branch = branch,
        RelativeError = 0.05 + (0.004 * layer) + (0.02 * random.NextDouble()),
        ClippedShare = 0.01 * random.NextDouble(),
        CalibrationRows = 100,
    };
}
