using System.Security.Cryptography;
using LongCat.ML.Checkpoints;
using LongCat.ML.TestShared;

namespace LongCat.ML.Onnx.Tests;

/// <summary>Files written and hashed on threads of their own: the same bytes and hash as in one pass, and failures that end, not hang.</summary>
public sealed class ExportPipelineTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(1 << 20)]
    [InlineData((1 << 20) + 1)]
    [InlineData((21 << 20) + 12345)]
    public void A_file_holds_what_was_written_whatever_its_length_and_the_size_of_the_pieces(int length)
    {
        using TemporaryFolder folder = new();
        byte[] bytes = new byte[length];
        Random random = new(length);
        random.NextBytes(bytes);
        List<long> reported = [];
        ManifestFile written;
        using (ExportFile file = new(folder["file"], CancellationToken.None, new InlineProgress(progress => reported.Add(progress.BytesDone)), length))
        {
            for (int done = 0; done < length;)
            {
                int count = Math.Min(length - done, random.Next(1, random.Next(2) == 0 ? 5_000_000 : 70_000));
                file.Write(bytes.AsSpan(done, count));
                done += count;
                Assert.Equal(done, file.Position);
            }

            written = file.Complete();
        }

        Assert.Equal(new ManifestFile(length, Convert.ToHexStringLower(SHA256.HashData(bytes))), written);
        Assert.True(bytes.AsSpan().SequenceEqual(File.ReadAllBytes(folder["file"])));
        Assert.Equal(length, reported[^1]);
        Assert.Equal(reported.Order(), reported);
    }

    [Fact]
    public void Cancelling_ends_within_a_block_and_disposal_leaves_no_thread_at_work()
    {
        using TemporaryFolder folder = new();
        using CancellationTokenSource source = new();
        byte[] block = new byte[1 << 20];
        using ExportFile file = new(folder["file"], source.Token);
        for (int i = 0; i < 20; i++)
        {
            file.Write(block);
        }

        source.Cancel();
        Assert.Throws<OperationCanceledException>(() =>
        {
            file.Write(block);
            file.Write(block);
        });
        Assert.Throws<OperationCanceledException>(() => file.Complete());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_stage_that_fails_is_heard_of_and_nobody_waits_for_it(int failing)
    {
        int[] seen = new int[2];
        Action<ExportBlock> Stage(int stage) => block =>
        {
            if (stage == failing && seen[stage] == 3)
            {
                throw new IOException("the disk is full");
            }

            Assert.Equal(seen[stage]++, (int)block.Bytes[0]);
        };
        using ExportPipeline pipeline = new(4, 16, Stage(0), Stage(1));
        ExportBlock block = new(new byte[16]);
        IOException error = Assert.Throws<IOException>(() =>
        {
            for (byte i = 0; i < 100; i++)
            {
                block.Bytes[0] = i;
                block.Count = 1;
                block = pipeline.Pass(block);
            }

            pipeline.Complete();
        });
        Assert.Equal("the disk is full", error.Message);
        Assert.Equal(3, seen[failing]);
    }

    private sealed class InlineProgress(Action<ExportProgress> action) : IProgress<ExportProgress>
    {
        public void Report(ExportProgress value) => action(value);
    }
}
