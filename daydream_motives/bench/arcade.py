"""A small game without a window: sprites that move, collide and are drawn, sixty times a second.

Knows nothing of the engine: what it costs a game is what the game is measured without.
"""

from __future__ import annotations

import os
import random
from typing import Any

FRAMES_PER_SECOND = 60
_SIZE = (960, 540)
_TILE = 60
_SPEED = 2.5


class Arcade:
    """Everything a frame does but to think: input, movement, collisions, drawing, and waiting.

    Raises ImportError without pygame.
    """

    def __init__(self, sprites: int, *, seed: int = 0) -> None:
        # No window and no sound, wherever it runs.
        os.environ["SDL_VIDEODRIVER"] = os.environ["SDL_AUDIODRIVER"] = "dummy"
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        import pygame

        self._pygame: Any = pygame
        pygame.display.init()
        pygame.font.init()
        self._screen = pygame.display.set_mode(_SIZE)
        self._font = pygame.font.Font(None, 18)
        self._clock = pygame.time.Clock()
        self._rng = random.Random(f"arcade:{seed}")
        self._tiles = [pygame.Surface((_TILE, _TILE)) for _ in range(4)]
        for n, tile in enumerate(self._tiles):
            tile.fill((30 + 12 * n, 60 + 9 * n, 90))
        width, height = _SIZE
        self._bodies = [
            pygame.FRect(
                self._rng.uniform(0, width - 24), self._rng.uniform(0, height - 24), 24, 24
            )
            for _ in range(sprites)
        ]
        self._ways = [self._way() for _ in range(sprites)]
        self._image = pygame.Surface((24, 24), pygame.SRCALPHA)
        pygame.draw.circle(self._image, (220, 180, 90, 200), (12, 12), 12)
        self._frame = 0

    def _way(self) -> list[float]:
        return [self._rng.uniform(-_SPEED, _SPEED), self._rng.uniform(-_SPEED, _SPEED)]

    def frame(self) -> None:
        """One frame's own work, without the wait for the next."""
        pygame, screen = self._pygame, self._screen
        pygame.event.get()
        self._frame += 1
        field = screen.get_rect()
        for body, way in zip(self._bodies, self._ways, strict=True):
            body.move_ip(way)
            if not field.contains(body):
                body.clamp_ip(field)
                way[:] = self._way()
        for index, body in enumerate(self._bodies):
            for other in body.collidelistall(self._bodies):
                if other > index:
                    self._ways[index], self._ways[other] = self._ways[other], self._ways[index]
        columns, rows = _SIZE[0] // _TILE, _SIZE[1] // _TILE
        screen.blits(
            [(self._tiles[(x * 7 + y * 3) % 4], (x * _TILE, y * _TILE))
             for x in range(columns) for y in range(rows)]
        )  # fmt: skip
        for index, body in enumerate(self._bodies):
            screen.blit(self._image, body)
            if index % 5 == self._frame % 5:  # names are drawn in turns, as their texts change
                label = self._font.render(f"{index}: {self._frame}", True, (255, 255, 255))
                screen.blit(label, body.topleft)
        pygame.display.flip()

    def wait(self) -> None:
        """Until the next frame is due."""
        self._clock.tick(FRAMES_PER_SECOND)

    def close(self) -> None:
        self._pygame.quit()
