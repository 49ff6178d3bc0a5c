using LongCat.ML.Engines;

namespace LongCat.ML.Tests;

public sealed class EngineCacheTests
{
    private readonly EngineCache cache = new();

    [Fact]
    public void A_model_is_opened_once_and_kept_when_idle()
    {
        int opened = 0;
        Parallel.For(0, 16, _ =>
        {
            using Lease<Model> lease = cache.Acquire("a", () =>
            {
                Interlocked.Increment(ref opened);
                return new Model();
            });
        });
        Assert.Equal((1, 1), (opened, cache.Count));
    }

    [Fact]
    public void The_least_recently_used_idle_model_makes_room()
    {
        Model[] models = [new(), new(), new(), new()];
        Lease<Model> inUse = cache.Acquire("0", () => models[0]);
        cache.Acquire("1", () => models[1]).Dispose();
        cache.Acquire("2", () => models[2]).Dispose();
        Assert.Equal([false, true, false, false], models.Select(model => model.Closed));
        cache.Acquire("3", () => models[3]).Dispose();
        Assert.Equal([false, true, true, false], models.Select(model => model.Closed));
        inUse.Dispose();
        inUse.Dispose();
        Assert.Equal(LongCatOptions.MaxLoadedModels, cache.Count);
    }

    [Fact]
    public void A_lower_limit_closes_idle_models_at_once()
    {
        int before = LongCatOptions.MaxLoadedModels;
        try
        {
            var model = new Model();
            EngineCache.Shared.Acquire("a lower limit", () => model).Dispose();
            Assert.False(model.Closed);
            LongCatOptions.MaxLoadedModels = 0;
            Assert.True(model.Closed);

            var next = new Model();
            using (EngineCache.Shared.Acquire("a lower limit", () => next))
            {
                Assert.False(next.Closed);
            }

            Assert.True(next.Closed);
        }
        finally
        {
            LongCatOptions.MaxLoadedModels = before;
        }
    }

    [Fact]
    public void A_model_that_fails_to_open_is_tried_again()
    {
        Assert.Throws<IOException>(() => cache.Acquire<Model>("a", () => throw new IOException()));
        using Lease<Model> lease = cache.Acquire("a", () => new Model());
        Assert.False(lease.Model.Closed);
        Assert.Equal(1, cache.Count);
    }

    [Fact]
    public void A_released_model_in_use_is_closed_by_its_last_user_and_opened_anew_for_the_next()
    {
        var first = new Model();
        Lease<Model> one = cache.Acquire("a", () => first);
        Lease<Model> two = cache.Acquire("a", () => new Model());
        Assert.Equal(1, cache.Release(key => key == "a"));
        one.Dispose();
        Assert.False(first.Closed);
        using Lease<Model> next = cache.Acquire("a", () => new Model());
        Assert.NotSame(first, next.Model);
        two.Dispose();
        Assert.True(first.Closed);
        Assert.Equal(0, cache.Release(key => key == "b"));
    }

    private sealed class Model : IDisposable
    {
        public bool Closed { get; private set; }

        public void Dispose() => Closed = true;
    }
}
