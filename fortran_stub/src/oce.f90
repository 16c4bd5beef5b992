!> The state of the ocean, at three time levels, and what a step derives from it.
module oce
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk, jpt, jpts
   implicit none
   private
   public :: oce_alloc

   integer, public :: Nbb = 1, Nnn = 2, Naa = 3, Nrhs = 3   !< before, now, after; right-hand sides live in the after level

   real(wp), public, allocatable :: uu(:, :, :, :)      !< velocity along i at U points [m s-1] (i,j,k,time)
   real(wp), public, allocatable :: vv(:, :, :, :)      !< velocity along j at V points [m s-1] (i,j,k,time)
   real(wp), public, allocatable :: e3t(:, :, :, :)     !< layer thickness at T points [m] (i,j,k,time); e3t_0 on land
   real(wp), public, allocatable :: ts(:, :, :, :, :)   !< tracers of layer 1 [degC] (i,j,1,tracer,time)

   real(wp), public, allocatable :: e3f(:, :, :)                      !< now thickness of the corners: mean of their wet cells [m]
   real(wp), public, allocatable :: uflx(:, :, :), vflx(:, :, :)      !< now transports of the faces [m3 s-1]

contains

   !> Allocate the state of this rank.
   subroutine oce_alloc()
      allocate (uu(jpi, jpj, jpk, jpt), vv(jpi, jpj, jpk, jpt), e3t(jpi, jpj, jpk, jpt), ts(jpi, jpj, 1, jpts, jpt))
      allocate (e3f(jpi, jpj, jpk), uflx(jpi, jpj, jpk), vflx(jpi, jpj, jpk))
      uu = 0._wp; vv = 0._wp; e3t = 0._wp; ts = 0._wp
      e3f = 1._wp; uflx = 0._wp; vflx = 0._wp
   end subroutine oce_alloc
end module oce
